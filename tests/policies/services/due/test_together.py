"""Many policies that are due in the same second become runs with a few statements, each exactly once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from kombu.exceptions import OperationalError

from n2wbackup import celery
from policies.adapters import broker, queues
from policies.domain.runs.trigger import Trigger
from policies.models import Policy, Run, RunEvent, Schedule
from policies.services import runs
from policies.services.due import ticking, together
from policies.services.entry import schedules
from policies.services.starting import Wanted
from tests import factories

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DUE = NOON + timedelta(hours=1)


@pytest.fixture
def clock(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[time_machine.Traveller]:
    """Set the clock to noon, and let a tick take its time: the machine may be busy."""
    monkeypatch.setattr(ticking, "TICK_SECONDS", 600.0)
    monkeypatch.setattr(ticking, "COMMIT_SECONDS", 600.0)
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def many(number: int, name: str = "p", cron: str = "0 * * * *") -> list[Policy]:
    """Return policies of Alice that follow one schedule."""
    owner = factories.alice()
    row = Schedule(owner=owner, name=f"of-{name}", cron=cron)
    schedules.save(row)
    made = [factories.PolicyFactory.create(owner=owner, name=f"{name}{n}") for n in range(number)]
    for policy in made:
        policy.schedules.set([row])
    with ticking.replanned(policy.pk for policy in made):
        pass
    return made


def statements(number: int, name: str) -> int:
    """Return how many statements a tick takes when so many policies are due, on the clock of now."""
    made = many(number, name)
    Policy.objects.filter(pk__in=[each.pk for each in made]).update(next_run_at=DUE)
    with CaptureQueriesContext(
        connection,
    ) as seen:
        assert ticking.tick() == number
    return len(seen)


def test_ten_more_cost_no_more_than_a_few_statements(clock: time_machine.Traveller) -> None:
    clock.move_to(DUE)

    few, more = statements(2, "few"), statements(12, "more")

    assert more - few <= 4


def test_each_is_queued_as_if_it_were_alone(clock: time_machine.Traveller) -> None:
    made = many(3)
    clock.move_to(DUE)
    with time_machine.travel(DUE, tick=False):
        assert ticking.settle(made[0].pk, DUE)
    alone = Run.objects.get()

    assert ticking.tick() == 2

    for policy in made[1:]:
        run = Run.objects.get(policy=policy)
        columns = {
            field.attname
            for field in Run._meta.concrete_fields
            if getattr(run, field.attname) != getattr(alone, field.attname)
        }
        assert columns == {"id", "policy_id", "account_id", "policy_name"} - (
            {"account_id"} if run.account_id == alone.account_id else set()
        )
        assert [event.text for event in run.events.all()] == ["queued (schedule)"]
        policy.refresh_from_db()
        assert policy.next_run_at == DUE + timedelta(hours=1)


def test_their_hints_are_sent_together_and_only_on_commit(
    clock: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: type,
) -> None:
    sent: list[list[UUID]] = []
    monkeypatch.setattr(queues, "put_all", lambda task, ids: sent.append([*ids]))
    monkeypatch.setattr(queues, "put", lambda *_: pytest.fail("one by itself"))
    many(3)
    clock.move_to(DUE)

    with django_capture_on_commit_callbacks(execute=True):
        ticking.tick()
        assert sent == []

    assert [sorted(ids) for ids in sent] == [sorted(Run.objects.values_list("pk", flat=True))]


def test_what_stands_in_the_way_of_one_is_settled_by_itself(
    clock: time_machine.Traveller,
) -> None:
    made = many(4)
    runs.start(policy=made[0], trigger=Trigger.MANUAL)  # unfinished
    clock.move_to(DUE - timedelta(minutes=30))
    with ticking.replanned([made[1].pk]):
        Schedule.objects.filter(name="of-p")  # nothing changes
    Policy.objects.filter(pk=made[1].pk).update(next_run_at=DUE - timedelta(hours=3))
    broken = Schedule(owner=made[2].owner, name="broken", cron="0 * * * *")
    schedules.save(broken)
    made[2].schedules.add(broken)
    Schedule.objects.filter(pk=broken.pk).update(timezone="Mars/Olympus")
    clock.move_to(DUE)

    assert ticking.tick() == 4

    found = {
        policy.name: sorted(policy.runs.values_list("trigger", "state", "due_count"))
        for policy in made
    }
    assert found == {
        "p0": [("manual", "queued", 1), ("schedule", "skipped", 1)],
        "p1": [("schedule", "missed", 3), ("schedule", "queued", 1)],
        "p2": [("schedule", "queued", 1)],
        "p3": [("schedule", "queued", 1)],
    }


def test_of_two_ticks_at_once_one_makes_the_runs(
    clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = many(3)
    clock.move_to(DUE)
    advance = together._advance

    def after_the_other(free: list[tuple[Wanted, datetime | None]], now: datetime) -> None:
        monkeypatch.setattr(together, "_advance", advance)
        Policy.objects.filter(pk=made[1].pk).update(next_run_at=DUE + timedelta(hours=1))
        advance(free, now)

    monkeypatch.setattr(together, "_advance", after_the_other)

    assert together.settle([policy.pk for policy in made], DUE) == set()

    assert not Run.objects.exists()
    assert not RunEvent.objects.exists()
    assert Policy.objects.filter(next_run_at=DUE).count() == 3  # taken back, whole


def test_a_broker_that_is_away_is_asked_once_and_no_run_is_lost(
    clock: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = []

    class Away:
        def __enter__(self) -> object:
            asked.append(1)
            raise OperationalError("away")

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(celery.app, "producer_or_acquire", Away)

    broker.send_all(broker.FREEZE, [UUID(int=number) for number in range(5)])

    assert asked == [1]
    assert "the broker is away; the next tick sends policies.tasks.freeze of 5 runs" in caplog.text
