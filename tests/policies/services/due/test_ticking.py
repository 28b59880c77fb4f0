"""Each due time becomes a run once; a changed schedule loses nothing that was due before."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.db import OperationalError

from policies.domain.errors import RefusedError
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import DailyCount, Policy, Run, RunEvent, Schedule
from policies.services import runs, starting
from policies.services.due import outlook, ticking, together
from policies.services.entry import policies, schedules
from tests import factories

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)  # a Monday


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def policy(db: None, clock: time_machine.Traveller) -> Policy:
    """Alice's policy, due each hour."""
    made = factories.PolicyFactory.create(owner=factories.alice(), name="policy1")
    follow(made, cron="0 * * * *")
    return made


def follow(policy: Policy, name: str = "hourly", **columns: object) -> Schedule:
    row = Schedule(owner=policy.owner, name=name, **columns)
    schedules.save(row)
    policies.save(policy, [*policy.schedules.all(), row])
    policy.refresh_from_db()
    return row


def rows() -> list[tuple[str, str, int]]:
    found = Run.objects.order_by("scheduled_for", "created_at")
    return [(run.state, f"{run.scheduled_for:%H:%M}", run.due_count) for run in found]


def end(run: Run, state: State = State.SUCCEEDED) -> None:
    Run.objects.filter(pk=run.pk).update(state=state, ended_at=datetime.now(UTC))


def test_nothing_happens_before_it_is_due(policy: Policy, clock: time_machine.Traveller) -> None:
    clock.move_to(NOON + timedelta(minutes=59, seconds=59))

    assert ticking.tick() == 0
    assert rows() == []
    assert policy.next_run_at == NOON + timedelta(hours=1)


def test_what_is_due_is_queued_and_the_next_time_is_known(
    policy: Policy, clock: time_machine.Traveller
) -> None:
    clock.move_to(NOON + timedelta(hours=1))

    assert ticking.tick() == 1
    assert ticking.tick() == 0

    run = Run.objects.get()
    assert (run.state, run.trigger, run.scheduled_for) == ("queued", "schedule", clock_time(13))
    policy.refresh_from_db()
    assert policy.next_run_at == clock_time(14)


def clock_time(hour: int, minute: int = 0) -> datetime:
    return NOON.replace(hour=hour, minute=minute)


def test_two_schedules_that_are_due_in_the_same_minute_make_one_run(
    policy: Policy, clock: time_machine.Traveller
) -> None:
    follow(policy, "daily", cron="0 15 * * *", timezone="Europe/Berlin")

    clock.move_to(clock_time(13))
    ticking.tick()

    assert rows() == [("queued", "13:00", 1)]


def test_a_due_time_that_meets_an_unfinished_run_is_skipped(
    policy: Policy, clock: time_machine.Traveller
) -> None:
    clock.move_to(clock_time(13))
    ticking.tick()
    clock.move_to(clock_time(14))
    ticking.tick()

    assert rows() == [("queued", "13:00", 1), ("skipped", "14:00", 1)]


def test_a_server_that_was_down_runs_once_and_tells_what_it_missed(
    policy: Policy, clock: time_machine.Traveller
) -> None:
    clock.move_to(clock_time(17, 30))

    ticking.tick()

    assert rows() == [("missed", "13:00", 4), ("queued", "17:00", 1)]
    missed = Run.objects.get(state=State.MISSED)
    assert missed.reason == (
        "4 due times, the last at 2026-06-01 16:00 UTC, passed while no scheduler was running."
    )
    assert (missed.due_until, missed.consistency) == (clock_time(16), "none")
    assert DailyCount.objects.get(state="missed").runs == 4


def test_a_run_that_is_an_hour_late_is_not_made_good(
    policy: Policy, clock: time_machine.Traveller
) -> None:
    row = policy.schedules.get()
    row.cron = "0 13 * * *"
    schedules.save(row)
    clock.move_to(clock_time(14))

    ticking.tick()

    assert rows() == [("missed", "13:00", 1)]
    assert Run.objects.get().reason == "The due time passed while no scheduler was running."


def test_a_disabled_time_is_skipped_with_the_reason(
    policy: Policy, clock: time_machine.Traveller
) -> None:
    row = policy.schedules.get()
    row.disabled = ["mon 12:30-13:30"]
    schedules.save(row)

    for hour in (13, 14):
        clock.move_to(clock_time(hour))
        ticking.tick()

    assert rows() == [("skipped", "13:00", 1), ("queued", "14:00", 1)]
    skipped = Run.objects.get(state=State.SKIPPED)
    assert skipped.reason == "The due time fell into a disabled time (hourly: mon 12:30-13:30)."
    assert [event.text for event in skipped.events.all()] == [skipped.reason]


def test_a_run_by_hand_is_made_in_a_disabled_time_too(policy: Policy) -> None:
    row = policy.schedules.get()
    row.disabled = ["00:00-24:00"]
    schedules.save(row)

    assert runs.start(policy=policy, trigger=Trigger.MANUAL).state == State.QUEUED


def test_a_policy_that_is_switched_off_is_never_due(
    policy: Policy, clock: time_machine.Traveller
) -> None:
    policy.enabled = False
    policies.save(policy)
    clock.move_to(clock_time(20))

    assert ticking.tick() == 0
    policy.refresh_from_db()
    assert policy.next_run_at is None
    policy.enabled = True
    policies.save(policy)

    policy.refresh_from_db()
    assert policy.next_run_at == clock_time(21)
    assert rows() == []


def test_a_changed_schedule_loses_nothing_that_was_due_by_the_old_one(
    policy: Policy, clock: time_machine.Traveller
) -> None:
    row = policy.schedules.get()
    row.cron = "30 * * * *"
    clock.move_to(clock_time(13))

    schedules.save(row)

    assert rows() == [("queued", "13:00", 1)]
    policy.refresh_from_db()
    assert policy.next_run_at == clock_time(13, 30)


def test_a_policy_that_is_switched_off_late_is_still_run_for_what_was_due(
    policy: Policy, clock: time_machine.Traveller
) -> None:
    clock.move_to(clock_time(13))
    policy.enabled = False

    policies.save(policy)

    assert rows() == [("queued", "13:00", 1)]


def test_a_due_time_that_has_its_row_is_not_entered_twice_when_the_clock_is_put_back(
    policy: Policy, clock: time_machine.Traveller
) -> None:
    clock.move_to(clock_time(13))
    ticking.tick()
    end(Run.objects.get())
    clock.move_to(clock_time(12, 30))
    policies.save(policy)
    clock.move_to(clock_time(13))

    assert ticking.tick() == 1

    assert rows() == [("succeeded", "13:00", 1)]
    policy.refresh_from_db()
    assert policy.next_run_at == clock_time(14)


def test_what_was_missed_has_one_row_when_the_clock_is_put_back(
    policy: Policy, clock: time_machine.Traveller
) -> None:
    for _ in range(2):
        clock.move_to(clock_time(14, 59))
        assert ticking.tick() == 1
        end(Run.objects.get(scheduled_for=clock_time(14)))
        clock.move_to(NOON)
        policies.save(policy)

    assert rows() == [("missed", "13:00", 1), ("succeeded", "14:00", 1)]


def test_who_comes_second_finds_nothing_to_settle(
    policy: Policy, clock: time_machine.Traveller
) -> None:
    clock.move_to(clock_time(13))

    first, second = (ticking.settle(policy.pk, clock_time(13)) for _ in range(2))

    assert (first, second) == (True, False)
    assert Run.objects.count() == 1


def test_one_policy_s_trouble_does_not_hold_up_the_others(
    policy: Policy,
    clock: time_machine.Traveller,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = factories.PolicyFactory.create(owner=policy.owner, name="other")
    follow(other, "broken", cron="0 * * * *")
    real = runs.new

    def new(of: Policy, **columns: Any) -> Run:
        if of.pk == other.pk:
            raise RuntimeError("broken")
        return real(of, **columns)

    monkeypatch.setattr(runs, "new", new)
    clock.move_to(clock_time(13))

    assert ticking.tick() == 1

    assert [run.policy for run in Run.objects.all()] == [policy]
    assert "could not be settled" in caplog.text
    other.refresh_from_db()
    assert other.next_run_at == clock_time(13)


def test_a_schedule_whose_time_zone_is_not_known_any_more_holds_up_no_other(
    policy: Policy, clock: time_machine.Traveller
) -> None:
    broken = follow(policy, "broken", cron="30 * * * *")
    Schedule.objects.filter(pk=broken.pk).update(timezone="Mars/Olympus")

    for minute in (30, 0):
        clock.move_to(clock_time(12 if minute else 13, minute))
        ticking.tick()

    assert rows() == [("missed", "12:30", 1), ("queued", "13:00", 1)]
    missed = Run.objects.get(state=State.MISSED)
    assert missed.reason.startswith("The schedule broken cannot be used: 'Mars/Olympus' is not")


def test_each_owner_has_their_turn_though_one_has_more_than_a_tick_can_do(
    policy: Policy, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    charlie = factories.charlie()
    for number in range(3):
        other = factories.PolicyFactory.create(owner=charlie, name=f"many{number}")
        follow(other, f"s{number}", cron="*/5 * * * *")
    monkeypatch.setattr(ticking, "TOGETHER", 2)
    passed = iter(range(10))
    monkeypatch.setattr("n2wbackup.lib.clock.boottime", lambda: next(passed) * 0.1)
    monkeypatch.setattr(ticking, "TICK_SECONDS", 0.2)
    clock.move_to(clock_time(13))

    assert ticking.tick() == 2

    owners = {run.owner_name for run in Run.objects.filter(state=State.QUEUED)}
    assert owners == {"alice", "charlie"}


@pytest.mark.parametrize("alone", [False, True])
def test_a_database_that_is_away_is_raised_and_nothing_is_entered(
    policy: Policy, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch, *, alone: bool
) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(runs if alone else starting, "start" if alone else "queue", away)
    if alone:
        monkeypatch.setattr(together, "settle", lambda *_: set())
    clock.move_to(clock_time(13))

    with pytest.raises(OperationalError):
        ticking.tick()

    assert not RunEvent.objects.exists()
    policy.refresh_from_db()
    assert policy.next_run_at == clock_time(13)


def test_a_policy_is_not_renamed_under_the_run_that_its_saving_makes(
    policy: Policy, clock: time_machine.Traveller
) -> None:
    clock.move_to(clock_time(13))
    renamed = Policy.objects.get(pk=policy.pk)
    renamed.name = "other"

    with suppress(ValidationError):
        policies.save(renamed)

    # The run would look for its scripts by the policy's new name: nothing would be frozen.
    run = Run.objects.unfinished().first()
    policy.refresh_from_db()
    assert run is None or run.policy_name == policy.name


def test_a_policy_that_is_deleted_accounts_for_what_was_due(
    policy: Policy, clock: time_machine.Traveller
) -> None:
    clock.move_to(clock_time(16, 30))

    with suppress(RefusedError):
        policies.delete(Policy.objects.get(pk=policy.pk))

    assert ("missed", "13:00", 3) in rows()


@pytest.mark.parametrize("way_out", ["schedule", "enabled", "schedules"])
def test_a_policy_whose_schedule_has_lost_its_time_zone_can_be_mended(
    policy: Policy, clock: time_machine.Traveller, way_out: str
) -> None:
    Schedule.objects.update(timezone="Mars/Base")  # the machine's time zones became fewer
    clock.move_to(clock_time(13))

    if way_out == "schedule":
        row = Schedule.objects.get()
        row.timezone = "UTC"
        schedules.save(row)
    elif way_out == "enabled":
        policy.enabled = False
        policies.save(policy)
    else:
        policies.save(policy, [])

    policy.refresh_from_db()
    assert policy.next_run_at == (clock_time(14) if way_out == "schedule" else None)


def test_a_clock_that_was_ahead_for_a_moment_does_not_end_the_backups(
    policy: Policy, clock: time_machine.Traveller
) -> None:
    clock.move_to(NOON + timedelta(days=365))
    ticking.tick()
    for run in Run.objects.unfinished():
        end(run)

    clock.move_to(clock_time(15))
    ticking.tick()
    clock.move_to(clock_time(16))
    ticking.tick()

    policy.refresh_from_db()
    assert policy.next_run_at == clock_time(17)
    assert outlook.of_policy(policy).times[0] == policy.next_run_at
