"""Whole-run retries: what failed is made again, each attempt a run of its own, and no more often than told."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Policy, Run, Schedule
from policies.services import runs
from policies.services.due import retrying
from policies.services.entry import policies, schedules
from tests.policies.services.backup import Backup, state, story

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DUE = NOON - timedelta(minutes=1)
TEN_MINUTES = timedelta(minutes=10)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def failing(backup: Backup, clock: time_machine.Traveller) -> Backup:
    """Alice's policy with two retries, whose account has lost its instance."""
    backup.policy.retry_count = 2
    policies.save(backup.policy)
    backup.cloud.terminate(backup.instance.instance_id)
    return backup


def fail(backup: Backup, run: Run) -> Run:
    return backup.complete(backup.window(run))


def attempts() -> list[tuple[int, str, str]]:
    return [(r.attempt, r.trigger, r.state) for r in Run.objects.order_by("created_at", "attempt")]


def test_a_run_that_failed_is_made_again_until_the_retries_are_used_up(
    failing: Backup, clock: time_machine.Traveller
) -> None:
    fail(failing, failing.start(Trigger.SCHEDULE, scheduled_for=DUE))

    for _ in range(4):
        clock.shift(TEN_MINUTES)
        retrying.tick()
        for run in Run.objects.filter(state=State.QUEUED):
            fail(failing, run)

    assert attempts() == [(1, "schedule", "failed"), (2, "retry", "failed"), (3, "retry", "failed")]
    assert set(Run.objects.values_list("scheduled_for", flat=True)) == {DUE}


def test_a_retry_waits_for_its_minutes_and_is_made_once(
    failing: Backup, clock: time_machine.Traveller
) -> None:
    first = fail(failing, failing.start())
    clock.shift(TEN_MINUTES - timedelta(seconds=1))
    assert retrying.tick() == 0
    clock.shift(timedelta(seconds=1))

    assert (retrying.tick(), retrying.tick()) == (1, 0)

    second = Run.objects.get(attempt=2)
    assert story(first)[-2:] == [
        "retry 1 of 2 is due 10 minutes from now",
        f"retried as run {second.pk}",
    ]


def test_a_run_that_did_well_or_was_cancelled_is_not_made_again(
    backup: Backup, clock: time_machine.Traveller
) -> None:
    backup.policy.retry_count = 2
    policies.save(backup.policy)
    backup.to_end()
    runs.cancel(backup.start(), by="alice")
    clock.shift(TEN_MINUTES)

    assert retrying.tick() == 0
    assert Run.objects.count() == 2


def test_a_partial_run_is_made_again(backup: Backup, clock: time_machine.Traveller) -> None:
    backup.policy.retry_count = 1
    policies.save(backup.policy)
    backup.scripts(complete="exit 1")
    assert backup.to_end().state == State.PARTIAL
    clock.shift(TEN_MINUTES)

    assert retrying.tick() == 1
    assert Run.objects.get(attempt=2).state == State.QUEUED


def test_a_test_is_not_made_again(failing: Backup, clock: time_machine.Traveller) -> None:
    fail(failing, failing.start(Trigger.TEST))
    clock.shift(TEN_MINUTES)

    assert retrying.tick() == 0


def left_out(backup: Backup, run: Run) -> str:
    """Return why the retry was left out, the run's last line; no other run was made."""
    before = Run.objects.count()
    assert retrying.tick() == 1
    assert Run.objects.count() == before
    run.refresh_from_db()
    assert run.retry_at is None
    return story(run)[-1]


def test_a_retry_is_left_out_where_another_run_was_made_since(
    failing: Backup, clock: time_machine.Traveller
) -> None:
    run = fail(failing, failing.start())
    clock.shift(timedelta(minutes=5))
    later = failing.window()
    clock.shift(TEN_MINUTES)

    assert left_out(failing, run) == f"the retry is left out: run {later.pk} has been made since"
    assert state(later) == State.COMPLETING


def test_a_retry_is_left_out_where_another_run_waits(
    failing: Backup, clock: time_machine.Traveller
) -> None:
    run = fail(failing, failing.start())
    clock.shift(TEN_MINUTES)
    failing.start()

    assert "is being backed up already" in left_out(failing, run)


def change(policy: Policy, **columns: object) -> None:
    for name, value in columns.items():
        setattr(policy, name, value)
    policies.save(policy)


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"enabled": False}, "the policy is switched off"),
        ({"retry_count": 0}, "the policy has fewer retries now"),
    ],
)
def test_a_retry_is_left_out_where_the_policy_was_changed(
    failing: Backup, clock: time_machine.Traveller, columns: dict[str, object], why: str
) -> None:
    run = fail(failing, failing.start())
    change(failing.policy, **columns)
    clock.shift(TEN_MINUTES)

    assert left_out(failing, run) == f"the retry is left out: {why}"


def test_a_retry_is_left_out_where_the_policy_is_gone(
    failing: Backup, clock: time_machine.Traveller
) -> None:
    run = fail(failing, failing.start())
    policies.delete(failing.policy)
    clock.shift(TEN_MINUTES)

    assert left_out(failing, run) == "the retry is left out: the policy is gone"


def test_a_retry_that_is_an_hour_late_is_left_out(
    failing: Backup, clock: time_machine.Traveller
) -> None:
    run = fail(failing, failing.start())
    clock.shift(TEN_MINUTES + timedelta(hours=1))

    assert "no scheduler was running when it was due" in left_out(failing, run)


def test_a_retry_is_left_out_in_a_disabled_time(
    failing: Backup, clock: time_machine.Traveller
) -> None:
    row = Schedule(
        owner=failing.policy.owner, name="often", cron="0 * * * *", disabled=["12:05-13:00"]
    )
    schedules.save(row)
    policies.save(failing.policy, [row])
    run = fail(failing, failing.start())
    clock.shift(TEN_MINUTES)

    expected = "the retry is left out: now is a disabled time (often: 12:05-13:00)"
    assert left_out(failing, run) == expected


def test_a_retry_waits_for_a_test_that_is_under_way(
    failing: Backup, clock: time_machine.Traveller
) -> None:
    first = fail(failing, failing.start())
    clock.shift(TEN_MINUTES)
    test = failing.start(Trigger.TEST)
    retrying.tick()
    fail(failing, test)
    clock.shift(timedelta(minutes=1))
    retrying.tick()

    assert Run.objects.filter(attempt=2).exists(), story(first)[-1]
