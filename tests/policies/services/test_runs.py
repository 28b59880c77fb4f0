"""How a run starts, how a worker takes it, and how it is cancelled."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import IntegrityError, transaction

from n2wbackup.lib import clock, home
from policies.domain.errors import RefusedError
from policies.domain.runs.sequence import ENDS, UNFINISHED, Event, NoSuchStepError, State
from policies.domain.runs.trigger import Trigger
from policies.models import DailyCount, Run, RunEvent, WindowLease
from policies.services import claiming, runs
from policies.services.due import hints
from policies.services.following import completing
from policies.services.window import keeping
from tests import factories
from tests.policies.services.backup import Backup, state, story

DUE = datetime(2026, 12, 1, 2, tzinfo=UTC)


def test_a_run_is_queued_with_the_names_it_outlives(backup: Backup) -> None:
    run = runs.start(policy=backup.policy, trigger=Trigger.MANUAL, requested_by="bob")

    assert (run.state, run.label, run.requested_by) == (State.QUEUED, "alice/policy1", "bob")
    assert (run.owner, run.account) == (backup.policy.owner, backup.policy.account)
    assert story(run) == ["queued (manual)"]


def test_a_second_run_of_a_policy_is_refused_with_a_sentence(backup: Backup) -> None:
    first = backup.start()

    with pytest.raises(RefusedError, match=r"alice/policy1 is already being backed up \(run .*\)"):
        backup.start()

    assert list(Run.objects.all()) == [first]
    assert RunEvent.objects.count() == 1


def test_a_due_time_that_meets_an_unfinished_run_is_skipped_with_the_reason(backup: Backup) -> None:
    first = backup.start()

    skipped = backup.start(Trigger.SCHEDULE, scheduled_for=DUE)

    skipped.refresh_from_db()
    assert skipped.state == State.SKIPPED
    assert skipped.reason == f"Run {first.pk} of the same policy had not ended at the due time."
    assert skipped.ended_at is not None
    assert state(first) == State.QUEUED
    assert DailyCount.objects.get().state == "skipped"


def test_a_due_time_is_made_a_run_once(backup: Backup) -> None:
    first = backup.start(Trigger.SCHEDULE, scheduled_for=DUE)

    with pytest.raises(RefusedError, match="for this due time already exists"):
        backup.start(Trigger.SCHEDULE, scheduled_for=DUE)
    runs.cancel(first, by="alice")
    with pytest.raises(RefusedError, match="for this due time already exists"):
        backup.start(Trigger.SCHEDULE, scheduled_for=DUE)

    assert Run.objects.count() == 1


def test_two_policies_do_not_disturb_each_other(backup: Backup) -> None:
    backup.start()
    other = factories.PolicyFactory.create(owner=backup.policy.owner)

    assert runs.start(policy=other, trigger=Trigger.MANUAL).state == State.QUEUED


@pytest.mark.parametrize("here", sorted(UNFINISHED))
def test_the_database_itself_forbids_a_second_unfinished_run(backup: Backup, here: State) -> None:
    backup.start()

    with pytest.raises(IntegrityError), transaction.atomic():
        factories.RunFactory.create(policy=backup.policy, state=here)


@pytest.mark.parametrize("values", [{"state": "nonsense"}, {"state": "failed"}])
def test_the_database_itself_forbids_a_state_that_cannot_be(
    backup: Backup, values: dict[str, str]
) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        factories.RunFactory.create(policy=backup.policy, **values)
    with pytest.raises(IntegrityError), transaction.atomic():
        factories.RunFactory.create(policy=backup.policy, ended_at=clock.now())

    assert not Run.objects.exists()


def test_a_run_is_claimed_once(backup: Backup) -> None:
    run = backup.start()

    claimed = claiming.take(run.pk)

    assert claimed is not None
    assert (claimed.state, claimed.server) == (State.PREPARING, home.server_id())
    assert claimed.started_at is not None
    assert claiming.take(run.pk) is None


def test_a_run_that_has_to_wait_is_claimed_when_its_time_has_come(backup: Backup) -> None:
    run = backup.start()
    Run.objects.update(not_before=clock.now() + timedelta(seconds=30))

    assert claiming.take(run.pk) is None
    assert state(run) == State.QUEUED
    with time_machine.travel(clock.now() + timedelta(seconds=31)):
        assert claiming.take(run.pk) is not None


def test_who_loses_the_row_writes_nothing(backup: Backup) -> None:
    run = backup.start()
    stale = Run.objects.get(pk=run.pk)
    runs.apply(run, Event.CLAIMED, "the first")

    assert runs.apply(stale, Event.CLAIMED, "the second") is False
    assert runs.apply(stale, Event.CANCEL, "a third", reason="late") is False

    assert story(run) == ["queued (manual)", "the first"]
    run.refresh_from_db()
    assert (run.state, run.reason) == (State.PREPARING, "")


def test_an_event_that_means_nothing_is_refused_and_nothing_changes(backup: Backup) -> None:
    run = backup.start()

    with pytest.raises(NoSuchStepError, match="a run that is queued cannot be thawed"):
        runs.apply(run, Event.THAWED, "never")
    with pytest.raises(ValueError, match="needs the end state"):
        runs.apply(Run(pk=run.pk, state=State.COMPLETING), Event.COMPLETED, "no end")

    assert state(run) == State.QUEUED
    assert story(run) == ["queued (manual)"]


def test_a_queued_run_that_is_cancelled_ends_at_once_and_never_runs(backup: Backup) -> None:
    backup.scripts()
    run = backup.start()

    runs.cancel(run, by="alice")
    keeping.execute(run.pk)

    run.refresh_from_db()
    assert run.state == State.CANCELLED
    assert (run.reason, run.cancelled_by) == ("Cancelled by alice.", "alice")
    assert backup.marks == []
    assert backup.cloud.calls == []
    assert runs.start(policy=backup.policy, trigger=Trigger.MANUAL).state == State.QUEUED


@pytest.mark.parametrize(
    ("here", "then"),
    [
        (State.PREPARING, State.COMPLETING),
        (State.FROZEN, State.FROZEN),
        (State.THAWING, State.THAWING),
        (State.WAITING, State.COMPLETING),
        (State.COMPLETING, State.COMPLETING),
    ],
)
def test_cancel_changes_the_state_only_where_nothing_is_frozen(
    backup: Backup, here: State, then: State
) -> None:
    run = factories.RunFactory.create(policy=backup.policy, state=here)
    WindowLease.objects.create(resource="us-east-1:i-1", run=run, taken_at=clock.now())

    runs.cancel(run, by="alice")

    run.refresh_from_db()
    assert run.state == then
    assert run.cancel_requested_at is not None
    assert run.leases.exists() is (here != State.PREPARING)


@pytest.mark.parametrize("here", sorted(UNFINISHED - {State.QUEUED}))
def test_cancelling_twice_is_cancelling_once(backup: Backup, here: State) -> None:
    run = factories.RunFactory.create(policy=backup.policy, state=here)
    runs.cancel(run, by="alice")

    runs.cancel(run, by="bob")

    run.refresh_from_db()
    assert (run.cancelled_by, story(run)) == ("alice", ["cancelled by alice"])


@pytest.mark.parametrize("here", sorted(ENDS))
def test_what_has_ended_cannot_be_cancelled(backup: Backup, here: State) -> None:
    run = factories.RunFactory.create(policy=backup.policy, state=here, ended_at=clock.now())

    with pytest.raises(RefusedError, match=rf"has ended already \({here}\)"):
        runs.cancel(run, by="alice")

    run.refresh_from_db()
    assert (run.state, run.cancel_requested_at) == (here, None)
    assert story(run) == []


def test_a_run_whose_complete_has_started_cannot_be_cancelled(backup: Backup) -> None:
    run = factories.RunFactory.create(
        policy=backup.policy, state=State.COMPLETING, complete_started_at=clock.now()
    )

    with pytest.raises(
        RefusedError, match=r"its complete script has started\. Wait until it ends\."
    ):
        runs.cancel(run, by="alice")

    run.refresh_from_db()
    assert run.cancel_requested_at is None


def test_a_run_cancelled_while_frozen_is_thawed_and_complete_gets_0(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    run = backup.start()
    fire = backup.cloud.fire

    def cancel_then_fire(*arguments: object) -> object:
        runs.cancel(Run.objects.get(pk=run.pk), by="alice")
        return fire(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(backup.cloud, "fire", cancel_then_fire)
    backup.window(run)
    backup.settle(run)
    assert run.state == State.COMPLETING  # it does not wait for its snapshots
    backup.complete(run)

    assert backup.marks == ["before", "after 1", "complete 0"]
    assert (run.state, run.reason) == (State.CANCELLED, "Cancelled by alice.")


def test_a_run_cancelled_while_it_waits_ends_without_its_snapshots(backup: Backup) -> None:
    backup.scripts()
    run = backup.window()
    assert run.state == State.WAITING

    runs.cancel(run, by="alice")
    backup.complete(run)

    assert backup.marks == ["before", "after 1", "complete 0"]
    assert run.state == State.CANCELLED


def test_a_cancel_that_comes_before_complete_is_claimed_turns_it_to_0(backup: Backup) -> None:
    backup.scripts()
    run = backup.window()
    backup.cloud.advance()
    backup.settle(run)

    runs.cancel(run, by="alice")
    backup.complete(run)

    assert backup.marks[-1] == "complete 0"
    assert run.state == State.CANCELLED


def test_a_run_cancelled_while_it_is_prepared_never_opens_its_window(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    run = backup.start()
    monkeypatch.setattr(
        backup.cloud, "warm", lambda *_: runs.cancel(Run.objects.get(pk=run.pk), by="alice")
    )

    backup.window(run)
    assert run.state == State.COMPLETING
    assert not (backup.spooled(run) / "record.json").exists()
    backup.complete(run)

    assert backup.marks == ["complete 0"]
    assert run.state == State.CANCELLED
    assert backup.calls("fire") == []


def test_an_end_is_counted_and_remembered(backup: Backup) -> None:
    first = backup.to_end()
    with time_machine.travel(clock.now() + timedelta(seconds=20)):
        second = backup.to_end()

    backup.policy.refresh_from_db()
    assert first.state == second.state == State.SUCCEEDED
    assert backup.policy.last_run == second
    assert backup.policy.last_success_at == second.ended_at
    assert DailyCount.objects.get().runs == 2


def test_a_failed_run_leaves_the_last_success_alone(backup: Backup) -> None:
    backup.cloud.terminate(backup.instance.instance_id)

    run = backup.to_end()

    backup.policy.refresh_from_db()
    assert run.state == State.FAILED
    assert (backup.policy.last_run, backup.policy.last_success_at) == (run, None)


def test_a_hint_that_got_lost_is_sent_again_after_ten_seconds(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[object] = []
    monkeypatch.setattr(
        "policies.adapters.broker.send",
        lambda task, run_id, _server="": sent.append((task, run_id)),
    )
    run = backup.start()

    assert hints.resend() == 0
    with time_machine.travel(clock.now() + timedelta(seconds=11)):
        assert hints.resend() == 1
        assert hints.resend() == 0
    assert sent == [("policies.tasks.freeze", run.pk)]


def test_while_the_broker_still_holds_hints_none_is_sent_again_for_a_minute(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[object] = []
    asked: list[str] = []
    monkeypatch.setattr(
        "policies.adapters.broker.send", lambda task, run_id, _server="": sent.append(run_id)
    )

    def is_behind(task: str, _server: str = "") -> bool:
        asked.append(task)
        return True

    monkeypatch.setattr("policies.adapters.broker.is_behind", is_behind)
    run = backup.start()

    assert hints.resend() == 0
    assert asked == []  # nothing is late, so the broker is not asked
    with time_machine.travel(clock.now() + timedelta(seconds=59)):
        assert hints.resend() == 0
    with time_machine.travel(clock.now() + timedelta(seconds=61)):
        assert hints.resend() == 1
    assert sent == [run.pk]
    assert set(asked) == {"policies.tasks.freeze"}


def test_a_completing_run_that_nobody_took_is_sent_again_and_one_at_work_is_not(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[object] = []
    monkeypatch.setattr(
        "policies.adapters.broker.send",
        lambda task, run_id, _server="": sent.append((task, run_id)),
    )
    run = factories.RunFactory.create(policy=backup.policy, state=State.COMPLETING)

    assert hints.resend() == 1
    Run.objects.update(dispatched_at=None, complete_started_at=clock.now())
    assert hints.resend() == 0

    assert sent == [("policies.tasks.complete", run.pk)]


def test_a_draining_worker_takes_no_run(backup: Backup) -> None:
    run = backup.start()

    keeping.execute(run.pk, draining=lambda: True)

    assert state(run) == State.QUEUED


def test_completing_takes_only_what_is_completing(backup: Backup) -> None:
    run = backup.window()

    completing.execute(run.pk)

    assert state(run) == State.WAITING
