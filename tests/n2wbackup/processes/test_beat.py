"""Beat, while the clock of the machine is corrected."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from celery.beat import ScheduleEntry

from n2wbackup.celery import app
from n2wbackup.processes.beat import Scheduler

HOUR = timedelta(hours=1)
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Recorder(Scheduler):
    """Records what would be sent, and sends nothing."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        super().__init__(app=app)

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        self.sent.append(str(entry.name))

    def settle(self) -> list[str]:
        """Tick until nothing is due now; return what was sent."""
        self.sent.clear()
        while self.tick() <= 0:
            pass
        return list(self.sent)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


@pytest.fixture
def beat(clock: time_machine.Traveller) -> Recorder:
    """Return a beat that has just sent a tick."""
    made = Recorder()
    clock.shift(1)
    assert "tick" in made.settle()
    return made


def test_beat_is_the_one_that_the_settings_name() -> None:
    assert app.conf.beat_scheduler == f"{Scheduler.__module__}:{Scheduler.__qualname__}"


def test_a_tick_comes_each_second_and_a_poll_each_five(
    beat: Recorder, clock: time_machine.Traveller
) -> None:
    sent = []
    for _ in range(10):
        clock.shift(1)
        sent += beat.settle()

    assert (sent.count("tick"), sent.count("poll")) == (10, 2)


@pytest.mark.parametrize("back", [timedelta(seconds=3), HOUR, timedelta(days=400)])
def test_a_clock_that_is_put_back_stops_nothing(
    beat: Recorder, clock: time_machine.Traveller, back: timedelta
) -> None:
    clock.shift(-back)
    sent = []
    for _ in range(10):
        sent += beat.settle()
        clock.shift(1)

    assert sent.count("tick") in {9, 10}
    assert sent.count("poll") in {1, 2}


def test_a_clock_that_is_put_forward_sends_each_once(
    beat: Recorder, clock: time_machine.Traveller
) -> None:
    clock.shift(HOUR)

    assert sorted(beat.settle()) == [
        "clean",
        "clean_copies",
        "copies",
        "delete_old",
        "look",
        "look_at_scripts",
        "opened",
        "poll",
        "proofs",
        "recoveries",
        "refresh",
        "replan",
        "ssh",
        "tick",
        "trials",
    ]


def test_a_daily_entry_is_not_sent_twice_where_the_clock_goes_back_over_its_time(
    clock: time_machine.Traveller,
) -> None:
    beat = Recorder()
    beat.settle()
    clock.move_to(datetime(2026, 3, 2, 4, 17, 1, tzinfo=UTC))
    assert "reconcile" in beat.settle()

    clock.shift(-timedelta(seconds=0.5))

    assert "reconcile" not in beat.settle()
