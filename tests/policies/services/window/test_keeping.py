"""One window as the rows show it afterwards: its calls, its scripts and its consistency."""

import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from n2wbackup.lib import clock
from policies.domain.errors import (
    AnswerLostError,
    NotPermittedError,
    RejectedError,
    ThrottledError,
    UnreachableError,
)
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Policy, Run, RunTarget, WindowLease
from policies.ports import Snapshot
from policies.services.window import keeping, scripts, volley
from scripts_admin.guard import spool
from scripts_admin.guard.spool import Record
from tests.policies.services.backup import Backup, outcomes, snapshots_of, story, target
from tests.scripts_admin.guard.stage import until

LOST = AnswerLostError("No answer came from CreateSnapshots: it may have been done.")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volley, "RETRY_PAUSE_SECONDS", 0.01)


def test_a_run_goes_through_all_of_it(backup: Backup) -> None:
    backup.scripts()

    run = backup.to_end()

    assert backup.marks == ["before", "after 1", "complete 1"]
    assert (run.state, run.consistency, run.reason) == (State.SUCCEEDED, "application", "")
    assert target(run).state == RunTarget.State.USABLE
    assert not WindowLease.objects.exists()
    assert not backup.spooled(run).exists()
    times = [run.created_at, run.started_at, run.ordered_at, run.fired_at, run.ended_at]
    assert None not in times
    assert times == sorted(times)  # type: ignore[type-var]
    assert run.hold_seconds is not None
    assert run.freeze_seconds is not None
    assert 0 < run.hold_seconds < run.freeze_seconds


def test_the_history_has_the_windows_events_with_the_times_they_had(backup: Backup) -> None:
    backup.scripts()

    run = backup.window()

    assert story(run)[2:] == [
        "the window opens",
        "before started",
        "before succeeded",
        f"{backup.instance.instance_id}: 2 snapshots fired",
        "after started with 1",
        "after succeeded",
        "thawed",
    ]


def test_no_scripts_at_all_is_a_crash_consistent_success(backup: Backup) -> None:
    run = backup.to_end()

    assert (run.state, run.consistency) == (State.SUCCEEDED, "crash")


@pytest.mark.parametrize(
    ("body", "outcome"), [("exit 1", "failed"), ("sleep 60", "timed_out"), ("kill -9 $$", "failed")]
)
def test_a_before_that_fails_still_fires_and_completes_with_0(
    backup: Backup, body: str, outcome: str
) -> None:
    seconds = 1 if outcome == "timed_out" else 10
    Policy.objects.update(before_timeout_seconds=seconds, max_freeze_seconds=20)
    backup.policy.refresh_from_db()
    backup.scripts(before=body)

    run = backup.window()
    if (
        outcome == "timed_out"
    ):  # something may freeze late: after runs again when before's timeout is over
        assert run.state == State.THAWING
        assert run.thaw_next_at is not None
        while backup.thaw(run).state == State.THAWING:
            pass
    run = backup.complete(backup.settle(advanced(backup, run)))

    twice = ["after 0"] if outcome == "timed_out" else []
    assert backup.marks == ["before", "after 0", *twice, "complete 0"]
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert outcomes(run)["before"] == outcome
    assert f"before {outcome}" in run.reason
    assert len(snapshots_of(run)) == 2


def advanced(backup: Backup, run: Run) -> Run:
    backup.cloud.advance()
    return run


def test_a_policy_may_want_no_snapshots_when_before_fails(backup: Backup) -> None:
    Policy.objects.update(skip_snapshots_when_before_fails=True)
    backup.policy.refresh_from_db()
    backup.scripts(before="exit 1")

    run = backup.to_end()

    assert backup.marks == ["before", "after 0", "complete 0"]
    assert (run.state, run.consistency) == (State.FAILED, "none")
    assert backup.calls("fire") == []
    assert target(run).state == RunTarget.State.REFUSED


def test_an_after_that_fails_marks_the_policy_until_it_succeeds(backup: Backup) -> None:
    backup.scripts(after="[ $N2W_ATTEMPT = 2 ]")

    run = backup.window()
    backup.policy.refresh_from_db()
    assert run.state == State.THAWING
    assert backup.policy.may_be_frozen_since == run.ordered_at
    assert WindowLease.objects.filter(run=run).exists()

    while backup.thaw(run).state == State.THAWING:
        pass
    backup.policy.refresh_from_db()
    assert backup.policy.may_be_frozen_since is None
    assert not WindowLease.objects.exists()
    run = backup.complete(backup.settle(advanced(backup, run)))
    # The outcome is that of the first attempt.
    assert backup.marks == ["before", "after 1", "after 1", "complete 0"]
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert list(run.phases.filter(phase="after").values_list("attempt", "outcome")) == [
        (1, "failed"),
        (2, "succeeded"),
    ]


def test_an_after_that_never_succeeds_is_given_up_and_the_mark_stays(backup: Backup) -> None:
    Policy.objects.update(thaw_retry_minutes=0)
    backup.policy.refresh_from_db()
    backup.scripts(after="exit 5")

    run = backup.window()

    assert run.state == State.WAITING
    backup.policy.refresh_from_db()
    assert backup.policy.may_be_frozen_since is not None
    assert not WindowLease.objects.exists()
    run = backup.complete(backup.settle(advanced(backup, run)))
    assert backup.marks == ["before", "after 1", "complete 0"]
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")


def given_up(backup: Backup) -> None:
    """End a run that leaves its policy marked."""
    Policy.objects.update(thaw_retry_minutes=0)
    backup.policy.refresh_from_db()
    backup.scripts(after="exit 5")
    backup.to_end()
    backup.policy.refresh_from_db()
    assert backup.policy.may_be_frozen_since is not None


def test_a_later_runs_after_takes_the_mark_away(backup: Backup) -> None:
    given_up(backup)
    backup.scripts()

    with time_machine.travel(clock.now() + timedelta(seconds=16)):
        backup.window()

    backup.policy.refresh_from_db()
    assert backup.policy.may_be_frozen_since is None


@pytest.mark.parametrize("way", ["cannot run", "is gone", "is switched off"])
def test_a_later_run_without_an_after_leaves_the_mark(backup: Backup, way: str) -> None:
    given_up(backup)
    after = backup.folder / "after_policy1.sh"
    if way == "cannot run":
        after.chmod(0o644)
    elif way == "is gone":
        after.unlink()
    else:
        Policy.objects.update(scripts_enabled=False)
    backup.policy.refresh_from_db()

    with time_machine.travel(clock.now() + timedelta(seconds=16)):
        run = backup.window()

    assert run.state == State.WAITING
    backup.policy.refresh_from_db()
    assert backup.policy.may_be_frozen_since is not None


@pytest.mark.parametrize(
    "error",
    [
        RejectedError("AWS refused CreateSnapshots: the volume is in error."),
        NotPermittedError("The account may not call CreateSnapshots: allow it."),
    ],
)
def test_a_call_that_aws_refuses_is_thawed_and_fails_the_target(
    backup: Backup, error: RejectedError
) -> None:
    backup.scripts()
    backup.cloud.fail_next("fire", error)

    run = backup.to_end()

    assert backup.marks == ["before", "after 1", "complete 0"]
    assert (run.state, run.consistency) == (State.FAILED, "none")
    assert (target(run).state, target(run).reason) == (RunTarget.State.REFUSED, str(error))
    assert len(backup.calls("fire")) == 1


@pytest.mark.parametrize(
    "error", [ThrottledError("The rate was exceeded."), UnreachableError("No connection.")]
)
def test_a_call_that_did_nothing_is_made_again_inside_the_window(
    backup: Backup, error: ThrottledError
) -> None:
    backup.scripts()
    backup.cloud.fail_next("fire", error)

    run = backup.to_end()

    assert (run.state, run.consistency) == (State.SUCCEEDED, "application")
    assert len(backup.calls("fire")) == 2


def test_several_instances_are_fired_in_one_window(backup: Backup) -> None:
    backup.scripts()
    others = [backup.add_instance() for _ in range(3)]
    backup.cloud.fail_next("fire", RejectedError("AWS refused it."))

    run = backup.to_end()

    assert len(backup.calls("fire")) == 1 + len(others)
    assert backup.marks == ["before", "after 1", "complete 0"]
    assert run.state == State.PARTIAL
    assert run.consistency == "none"
    assert sorted(run.targets.values_list("consistency", flat=True)) == [
        "application",
        "application",
        "application",
        "none",
    ]


def test_an_answer_that_lacks_a_volume_makes_the_run_partial(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    fire = backup.cloud.fire
    monkeypatch.setattr(backup.cloud, "fire", lambda *arguments: fire(*arguments)[:1])

    run = backup.to_end()

    assert backup.marks[-1] == "complete 0"
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    missing = backup.instance.volume_ids[1]
    assert f"AWS created no snapshot of {missing}: the set is not whole." in run.reason


def test_a_call_that_blows_up_never_keeps_the_thaw_from_coming(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()

    def explode(*_: object) -> list[Snapshot]:
        raise ZeroDivisionError

    monkeypatch.setattr(backup.cloud, "fire", explode)

    run = backup.window()

    assert backup.marks == ["before", "after 1"]
    assert run.state == State.WAITING
    assert target(run).state == RunTarget.State.UNKNOWN


def test_a_snapshot_that_came_after_the_deadline_is_never_consistent(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    fire, describe = backup.cloud.fire, scripts.spool_record

    def fire_late(*arguments: Any) -> list[Snapshot]:
        until(lambda: "after 1" in backup.marks)
        return fire(*arguments)

    def describe_short(*arguments: Any) -> Record:
        return replace(describe(*arguments), max_freeze_seconds=4.0)

    monkeypatch.setattr(backup.cloud, "fire", fire_late)
    monkeypatch.setattr(scripts, "spool_record", describe_short)

    run = backup.to_end()

    assert backup.marks == ["before", "after 1", "complete 0"]
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert run.thaw_by == "deadline"
    assert "automatic (deadline)" in run.reason


def test_a_window_of_a_run_that_is_kept_by_another_worker_is_left_alone(backup: Backup) -> None:
    backup.scripts()
    run = backup.start()
    folder = spool.create(backup.spooled(run).parent, str(run.pk))
    held = spool.try_lock(folder, spool.KEEPER)
    assert held is not None

    keeping.execute(run.pk)

    run.refresh_from_db()
    assert run.state == State.QUEUED
    assert backup.cloud.calls == []
    os.close(held)


def test_a_call_for_which_no_time_was_left_is_told_with_a_time_of_the_run(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    monkeypatch.setattr(keeping, "THAW_RESERVE_SECONDS", 100.0)

    run = backup.window()

    assert "No time was left in the window for the call." in target(run).reason
    assert all(event.at >= run.created_at for event in run.events.all())


def test_a_test_run_makes_no_snapshots_but_proves_and_runs_every_script(backup: Backup) -> None:
    backup.scripts()

    run = backup.complete(backup.settle(backup.window(backup.start(Trigger.TEST))))

    assert (run.state, run.consistency) == (State.SUCCEEDED, "none")
    assert backup.marks == ["before", "after 1", "complete 0"]
    assert len(backup.calls("prove")) == 1
    assert backup.calls("fire") == []
    backup.policy.refresh_from_db()
    assert backup.policy.last_run is None


@pytest.mark.parametrize(
    ("phase", "argument", "marks"),
    [
        ("before", "", ["before", "after 1"]),
        ("after", "0", ["after 0"]),
        ("after", "1", ["after 1"]),
        ("after", "", ["after 0"]),
        ("complete", "0", ["complete 0"]),
        ("complete", "1", ["complete 1"]),
    ],
)
def test_a_test_of_one_phase_runs_that_one_and_before_never_without_after(
    backup: Backup, phase: str, argument: str, marks: list[str]
) -> None:
    backup.scripts()
    run = backup.start(Trigger.TEST, test_phase=phase, test_argument=argument)

    backup.window(run)
    if run.state == State.WAITING:
        backup.settle(run)
    backup.complete(run)

    assert backup.marks == marks
    assert run.state == State.SUCCEEDED


def test_a_test_of_a_script_that_fails_has_failed(backup: Backup) -> None:
    backup.scripts(before="exit 7")
    run = backup.start(Trigger.TEST, test_phase="before")

    run = backup.complete(backup.settle(backup.window(run)))

    assert backup.marks == ["before", "after 0"]
    assert run.state == State.FAILED
