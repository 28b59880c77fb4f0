"""Late backups are told once to each owner, for as long as it lasts."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from pytest_django import Settings

from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Alarm, AlarmMute, Run
from policies.services import runs
from policies.services.due import lateness
from scripts_admin.models import User
from tests import factories

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock(db: None, settings: Settings) -> Iterator[time_machine.Traveller]:
    settings.N2W_LATE_MINUTES = 10
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def due(owner: User, number: int, *, at: datetime = NOON) -> list[Run]:
    return [
        runs.start(
            policy=factories.PolicyFactory.create(owner=owner, name=f"p{Run.objects.count()}"),
            trigger=Trigger.SCHEDULE,
            scheduled_for=at,
        )
        for _ in range(number)
    ]


def told() -> list[tuple[str, str]]:
    return list(Alarm.objects.order_by("pk").values_list("label", "title"))


def test_two_hundred_late_runs_are_one_message_to_each_owner(clock: time_machine.Traveller) -> None:
    many = due(factories.alice(), 3)
    due(factories.bob(), 1)
    clock.move_to(NOON + timedelta(minutes=9, seconds=50))
    assert lateness.tick() == 0

    clock.move_to(NOON + timedelta(minutes=10))

    assert lateness.tick() == 2
    assert told() == [("alice", "alice: 3 backups are late"), ("bob", "bob: 1 backup is late")]
    alarm = Alarm.objects.get(label="alice")
    assert (alarm.policy, alarm.owner) == (None, many[0].owner)
    assert (
        f"{many[0].label} has waited longest: it was due at 2026-06-01 12:00:00 UTC" in alarm.text
    )


def test_it_is_told_again_only_after_an_end(clock: time_machine.Traveller) -> None:
    (run,) = due(factories.alice(), 1)
    for minutes in range(10, 40):
        clock.move_to(NOON + timedelta(minutes=minutes))
        lateness.tick()
    assert len(told()) == 1
    Run.objects.filter(pk=run.pk).update(state=State.SUCCEEDED, ended_at=NOON)

    clock.move_to(NOON + timedelta(minutes=45))
    due(factories.alice(), 1, at=NOON + timedelta(minutes=30))
    clock.move_to(NOON + timedelta(minutes=60))

    assert lateness.tick() == 1
    assert len(told()) == 2


def test_what_was_due_while_no_server_ran_is_late_from_when_one_is_back(
    clock: time_machine.Traveller,
) -> None:
    clock.move_to(NOON + timedelta(minutes=15))
    due(factories.alice(), 1)
    clock.move_to(NOON + timedelta(minutes=24, seconds=50))
    assert (lateness.tick(), told()) == (0, [])

    clock.move_to(NOON + timedelta(minutes=25))

    assert lateness.tick() == 1
    assert "it was due at 2026-06-01 12:00:00 UTC" in Alarm.objects.get().text


def test_two_ticks_at_once_tell_once(clock: time_machine.Traveller) -> None:
    due(factories.alice(), 1)
    clock.move_to(NOON + timedelta(minutes=20))

    assert (lateness.tick(), lateness.tick()) == (1, 0)


@pytest.mark.parametrize("why", ["begun", "waits", "muted", "by hand", "a retry"])
def test_what_is_not_late_because_of_the_server_is_not_told(
    clock: time_machine.Traveller, why: str
) -> None:
    (run,) = due(factories.alice(), 1)
    clock.move_to(NOON + timedelta(minutes=20))
    mine = Run.objects.filter(pk=run.pk)
    if why == "begun":
        mine.update(state=State.FROZEN, ordered_at=NOON)
    elif why == "waits":
        mine.update(waiting_since=NOON, waiting_for="waits for run 1")
    elif why == "by hand":
        mine.update(trigger=Trigger.MANUAL)
    elif why == "a retry":
        mine.update(trigger=Trigger.RETRY, attempt=2)
    else:
        until = NOON + timedelta(days=1)
        assert run.policy is not None
        AlarmMute.objects.create(policy=run.policy, begun_at=NOON, until=until, reason="r", by="b")

    assert lateness.tick() == 0
    assert told() == []
