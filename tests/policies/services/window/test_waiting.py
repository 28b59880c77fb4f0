"""Runs that wait: for how long, at what cost, and what they say of the run that they wait for."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
import time_machine
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Alarm, PhaseResult, Policy, Run, RunSnapshot, WindowLease
from policies.services import runs
from policies.services.due import hints
from policies.services.window import keeping, waiting
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.models import User
from tests import factories
from tests.policies.services.backup import Backup, snapshots_of, story

At = Callable[[float], datetime]


@pytest.fixture
def at() -> Iterator[At]:
    """Move the clock to so many minutes from the test's begin."""
    begin = clock.now()
    with time_machine.travel(begin, tick=False) as traveller:

        def move(minutes: float) -> datetime:
            traveller.move_to(begin + timedelta(minutes=minutes))
            return clock.now()

        yield move


def holding(backup: Backup, owner: User, state: State = State.THAWING) -> Run:
    """Give a run of this owner, whose first thaw has failed now, the lease of the policy's instance."""
    policy = factories.PolicyFactory.create(owner=owner, name="secret", thaw_retry_minutes=10_080)
    run = factories.RunFactory.create(policy=policy, state=state, ordered_at=clock.now())
    resource = f"us-east-1:{backup.instance.instance_id}"
    WindowLease.objects.create(resource=resource, run=run, taken_at=clock.now())
    if state == State.THAWING:
        PhaseResult.objects.create(
            run=run, phase=Phase.AFTER, outcome=Outcome.FAILED, ended_at=clock.now()
        )
    return run


def look_for_minutes(backup: Backup, run: Run, at: At, minutes: int) -> None:
    """Do as the server does with a waiting run: a hint whenever its time has come."""
    for second in range(0, minutes * 60, 5):
        at(second / 60)
        hints.resend()
        keeping.execute(run.pk)
    run.refresh_from_db()


def test_five_minutes_of_waiting_ask_nothing_of_aws_and_say_the_reason_once(
    backup: Backup, at: At
) -> None:
    holding(backup, factories.charlie())
    run = backup.start()

    look_for_minutes(backup, run, at, 5)

    assert run.state == State.QUEUED
    assert backup.cloud.calls == []
    assert story(run) == [
        "queued (manual)",
        f"waits for another owner's run, which has reserved {backup.instance.instance_id}",
    ]


def test_a_volume_that_the_last_run_had_is_waited_for_without_asking_aws(
    backup: Backup, at: At
) -> None:
    backup.to_end()
    other = factories.RunFactory.create(state=State.FROZEN)
    volume = backup.instance.volume_ids[1]
    WindowLease.objects.create(resource=f"us-east-1:{volume}", run=other, taken_at=clock.now())
    at(1)
    backup.cloud.calls.clear()

    run = backup.window()

    assert run.state == State.QUEUED
    assert backup.cloud.calls == []


def test_a_wait_for_pending_snapshots_asks_aws_once_and_says_the_reason_once(
    backup: Backup, at: At
) -> None:
    volume = backup.instance.volume_ids[0]
    factories.RunSnapshotFactory.create_batch(5, volume_id=volume)
    run = backup.start()

    look_for_minutes(backup, run, at, 5)

    assert run.state == State.QUEUED
    assert len(backup.calls("instances")) == 1
    assert [text for text in story(run) if "pending" in text] == [
        f"waits for pending snapshots of {volume}: 5 is the most that AWS allows"
    ]
    RunSnapshot.objects.all().delete()
    at(10)
    assert backup.to_end(run).state == State.SUCCEEDED


def test_a_run_that_waited_goes_on_as_soon_as_it_looks_again(backup: Backup, at: At) -> None:
    backup.scripts()
    holding(backup, factories.charlie())
    run = backup.start()
    look_for_minutes(backup, run, at, 1)
    WindowLease.objects.all().delete()
    at(1.2)

    run = backup.to_end(run)

    assert (run.state, run.consistency, run.waiting_for) == (State.SUCCEEDED, "application", "")


def test_nothing_about_another_owners_run_is_told(backup: Backup, at: At) -> None:
    backup.scripts()
    other = holding(backup, factories.charlie())
    run = backup.start()
    look_for_minutes(backup, run, at, 11)
    run = backup.complete(backup.settle(run))

    shown = json.dumps(backup.report(run))

    assert "another owner's run" in shown
    assert not any(name in shown for name in (str(other.pk), "secret", "charlie"))


def test_a_run_of_the_same_owner_is_named(backup: Backup) -> None:
    other = holding(backup, backup.policy.owner)

    run = backup.window()

    assert story(run)[-1] == (
        f"waits for run {other.pk} of alice/secret, which has reserved {backup.instance.instance_id}"
    )


def test_another_owners_failing_thaw_is_waited_for_ten_minutes_and_no_longer(
    backup: Backup, at: At
) -> None:
    backup.scripts()
    holding(backup, factories.charlie())
    run = backup.start()

    look_for_minutes(backup, run, at, 9)
    assert run.state == State.QUEUED
    at(10)
    run = backup.to_end(run)

    assert backup.marks == ["complete 0"]
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert len(snapshots_of(run)) == 2
    assert run.reason.startswith(
        f"before not_run: Another owner's run has kept {backup.instance.instance_id} since its thaw failed, for longer "
        "than this server lets others wait (10 min): this run goes on without before and after"
    )


def test_the_lease_stays_with_the_run_that_repeats_its_thaw(backup: Backup, at: At) -> None:
    backup.scripts()
    other = holding(backup, factories.charlie())
    at(11)

    backup.to_end()

    assert list(WindowLease.objects.values_list("run", flat=True)) == [other.pk]


def test_an_after_that_hangs_counts_from_the_end_of_the_longest_freeze(
    backup: Backup, at: At
) -> None:
    holding(backup, factories.charlie(), State.FROZEN)
    at(10.9)
    assert backup.window(run := backup.start()).state == State.QUEUED
    at(11.1)
    assert backup.window(run).state == State.WAITING


def test_the_limit_is_the_servers_setting(backup: Backup, at: At, settings: Settings) -> None:
    settings.N2W_OTHERS_WAIT_MINUTES = 2
    holding(backup, factories.charlie())
    at(2.1)

    assert backup.window().state == State.WAITING


def test_ones_own_failing_thaw_is_waited_for(backup: Backup, at: At) -> None:
    holding(backup, backup.policy.owner)
    at(60)

    assert backup.window().state == State.QUEUED


def test_a_policy_that_makes_no_snapshots_without_before_fails_loudly(
    backup: Backup, at: At
) -> None:
    Policy.objects.filter(pk=backup.policy.pk).update(skip_snapshots_when_before_fails=True)
    backup.policy.refresh_from_db()
    backup.scripts()
    holding(backup, factories.charlie())
    at(11)

    run = backup.to_end()

    assert run.state == State.FAILED
    assert "Another owner's run has kept" in run.reason
    assert snapshots_of(run) == []


def test_a_run_that_waits_too_long_raises_an_alarm_once(backup: Backup, at: At) -> None:
    holding(backup, backup.policy.owner)
    run = backup.start()

    look_for_minutes(backup, run, at, 20)

    alarm = Alarm.objects.get(kind="waits_too_long")
    assert (alarm.title, alarm.count) == ("alice/policy1: backup waits", 1)
    assert f"Run {run.pk} of alice/policy1 has waited since" in alarm.text


def test_due_times_that_are_skipped_in_a_row_raise_an_alarm(backup: Backup, at: At) -> None:
    running = backup.start()
    for minute in range(1, runs.SKIPPED_IN_A_ROW + 1):
        now = at(minute)
        assert not Alarm.objects.filter(kind="skipped").exists()
        runs.start(policy=backup.policy, trigger=Trigger.SCHEDULE, scheduled_for=now)

    alarm = Alarm.objects.get(kind="skipped")
    assert alarm.title == "alice/policy1: 3 backups skipped in a row"
    assert f"run {running.pk} has not ended (queued)" in alarm.text


@pytest.mark.parametrize(
    ("waited", "expected"),
    [(0, waiting.SHORTEST), (20, timedelta(seconds=4)), (600, waiting.LONGEST)],
)
def test_the_pause_grows_with_the_wait(waited: int, expected: timedelta) -> None:
    now = clock.now()

    assert waiting.pause(Run(waiting_since=now - timedelta(seconds=waited)), now) == expected


def beside(backup: Backup, owner: User, name: str) -> Run:
    """Queue a run of another policy with the same instance."""
    policy = factories.PolicyFactory.create(owner=owner, name=name, account=backup.policy.account)
    factories.PolicyTargetFactory.create(policy=policy, instance_id=backup.instance.instance_id)
    return runs.start(policy=policy, trigger=Trigger.MANUAL)


def test_an_owner_with_many_policies_keeps_nobody_waiting_for_more_than_one_window_of_each(
    backup: Backup, at: At
) -> None:
    """A run that has waited for long looks seldom, so a young one would be first, again and again."""
    first = holding(backup, factories.charlie(), State.FROZEN)
    run = backup.start()
    look_for_minutes(backup, run, at, 1)
    younger = beside(backup, factories.charlie(), "again")
    Run.objects.filter(pk=first.pk).update(state=State.FAILED, ended_at=clock.now())
    WindowLease.objects.all().delete()

    keeping.execute(younger.pk)

    younger.refresh_from_db()
    assert younger.state == State.QUEUED
    assert younger.waiting_for == (
        f"waits for another owner's run, which has waited longer for {backup.instance.instance_id}"
    )
    at(1.3)
    assert backup.window(run).state == State.WAITING
    at(2)  # a volume has its pause between two snapshots
    keeping.execute(younger.pk)
    assert Run.objects.get(pk=younger.pk).state == State.WAITING


def test_who_waits_for_something_else_is_not_let_pass(backup: Backup, at: At) -> None:
    """Else an owner could keep others waiting with a run that cannot begin."""
    first = holding(backup, factories.charlie(), State.FROZEN)
    run = beside(backup, factories.charlie(), "older")
    keeping.execute(run.pk)
    resources = [f"us-east-1:{backup.instance.instance_id}", "us-east-1:vol-elsewhere"]
    Run.objects.filter(pk=run.pk).update(waits_on={"resources": resources})
    WindowLease.objects.all().delete()
    WindowLease.objects.create(resource=resources[1], run=first, taken_at=clock.now())

    at(0.2)

    assert backup.window().state == State.WAITING


@pytest.mark.parametrize("since", [timedelta(minutes=1), timedelta(days=9)])
def test_who_has_not_looked_for_long_is_not_let_pass(
    backup: Backup, at: At, since: timedelta
) -> None:
    """Its hints may be lost, or its clock was set back."""
    holding(backup, factories.charlie(), State.FROZEN)
    older = beside(backup, factories.charlie(), "older")
    keeping.execute(older.pk)
    WindowLease.objects.all().delete()
    Run.objects.filter(pk=older.pk).update(not_before=clock.now() - since)

    assert backup.window().state == State.WAITING


def test_two_runs_never_wait_for_each_other(backup: Backup, at: At) -> None:
    first = holding(backup, factories.charlie(), State.FROZEN)
    ours, theirs = backup.start(), beside(backup, factories.charlie(), "again")
    for run in (ours, theirs):
        keeping.execute(run.pk)
    assert len({run.waiting_since for run in Run.objects.filter(state=State.QUEUED)}) == 1
    Run.objects.filter(pk=first.pk).update(state=State.FAILED, ended_at=clock.now())
    WindowLease.objects.all().delete()

    for minute in (1.0, 1.1, 1.2, 1.3):
        at(minute)
        for run in (ours, theirs):
            keeping.execute(run.pk)

    assert {run.state for run in Run.objects.exclude(pk=first.pk)} == {State.WAITING}
