"""A worker takes no message ahead of a free thread, and takes the next one as soon as there is one."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from n2wbackup.processes import pool
from n2wbackup.processes.pool import Pool
from tests.ground.processes import wait_until


class Hub:
    """The part of the worker's loop that a pool needs: what it calls when a descriptor can be read."""

    def __init__(self) -> None:
        self.readers: dict[int, Callable[[], None]] = {}

    def add_reader(self, descriptor: int, call: Callable[[], None]) -> None:
        self.readers[descriptor] = call

    def turn(self) -> bool:
        """Call who can read; tell whether any could."""
        import select  # noqa: PLC0415

        found = select.select(list(self.readers), [], [], 0)[0]
        for each in found:
            self.readers[each]()
        return bool(found)


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    monkeypatch.setattr(pool, "_busy", 0)
    monkeypatch.setattr(pool, "_threads", 0)
    made = Pool(2)
    yield made
    made.on_stop()


def test_a_worker_is_full_while_every_thread_has_a_task_and_wakes_when_one_is_free(
    two: Pool,
) -> None:
    hub, goes_on = Hub(), threading.Event()
    two.register_with_event_loop(hub)
    assert not pool.is_full()

    def work(*_: Any) -> None:
        assert goes_on.wait(60)

    seen = []
    for _ in range(2):
        two.apply_async(work, callback=lambda *_: None, accept_callback=lambda *_: None)
        seen.append(pool.is_full())
    assert seen == [False, True]
    assert not hub.turn()

    goes_on.set()

    wait_until(hub.turn, seconds=60, what="the loop is woken")
    assert not pool.is_full()


def test_a_task_that_could_not_be_given_to_a_thread_takes_no_place(two: Pool) -> None:
    two.on_stop()

    for _ in range(3):
        with pytest.raises(RuntimeError):
            two.on_apply(lambda: None)

    assert not pool.is_full()


def test_a_process_that_is_no_worker_is_never_full(two: Pool) -> None:
    assert two.limit == 2
    assert not pool.is_full()
