"""Of the ticks of two beats, one is taken."""

from datetime import timedelta

import pytest
import time_machine

from n2wbackup.lib import clock
from policies.services.following import polling
from policies.services.servers import turns
from policies.tasks import poll

pytestmark = pytest.mark.usefixtures("db")


def test_a_tick_is_taken_once_in_its_time() -> None:
    now = clock.now()
    with time_machine.travel(now, tick=False):
        assert turns.take("poll", 4)
        assert not turns.take("poll", 4)
        assert turns.take("reconcile", 4)
    with time_machine.travel(now + timedelta(seconds=3.9), tick=False):
        assert not turns.take("poll", 4)
    with time_machine.travel(now + timedelta(seconds=4), tick=False):
        assert turns.take("poll", 4)


def test_a_clock_that_is_put_back_stops_no_tick() -> None:
    now = clock.now()
    with time_machine.travel(now + timedelta(hours=1), tick=False):
        assert turns.take("poll", 4)
    with time_machine.travel(now, tick=False):
        assert turns.take("poll", 4)


def test_two_beats_poll_once(monkeypatch: pytest.MonkeyPatch) -> None:
    polled: list[int] = []
    monkeypatch.setattr(polling, "poll", polled.append)

    poll()
    poll()

    assert len(polled) == 1
