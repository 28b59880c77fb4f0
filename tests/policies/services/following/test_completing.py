"""complete may delete logs: 1 only when nothing at all failed, and at most once."""

import os
from collections.abc import Callable

import pytest

from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.models import Policy, Run
from policies.selectors.worth import Worth
from policies.services import runs
from policies.services.following import completing
from scripts_admin.guard import spool
from tests.policies.services.backup import Backup, outcomes


def _before_fails(backup: Backup) -> None:
    backup.scripts(before="exit 1")


def _after_fails(backup: Backup) -> None:
    Policy.objects.update(thaw_retry_minutes=0)
    backup.policy.refresh_from_db()
    backup.scripts(after="exit 1")


def _after_is_gone(backup: Backup) -> None:
    backup.scripts()
    (backup.folder / "after_policy1.sh").chmod(0o644)


@pytest.mark.parametrize("spoil", [_before_fails, _after_fails, _after_is_gone])
def test_complete_gets_0_when_a_script_failed(
    backup: Backup, spoil: Callable[[Backup], None]
) -> None:
    spoil(backup)

    run = backup.to_end()

    assert backup.marks[-1] == "complete 0"
    assert run.state == State.PARTIAL
    assert backup.report(run)["phases"]["complete"]["argument"] == "0"


@pytest.mark.parametrize("missing", [["before"], ["after"], ["before", "after"]])
def test_complete_gets_1_when_a_script_is_missing(backup: Backup, missing: list[str]) -> None:
    backup.scripts()
    for phase in missing:
        (backup.folder / f"{phase}_policy1.sh").unlink()

    run = backup.to_end()

    assert backup.marks[-1] == "complete 1"
    # Without both of them, nothing was frozen for the snapshots, or nobody knows; whoever has a before asks for more.
    end = State.SUCCEEDED if "before" in missing else State.PARTIAL
    assert (run.state, run.consistency) == (end, "crash")


@pytest.mark.parametrize(("body", "outcome"), [("exit 9", "failed"), ("sleep 60", "timed_out")])
def test_a_complete_that_fails_makes_the_run_partial(
    backup: Backup, body: str, outcome: str
) -> None:
    seconds = 1 if outcome == "timed_out" else 10
    Policy.objects.update(complete_timeout_seconds=seconds)
    backup.policy.refresh_from_db()
    backup.scripts(complete=body)

    run = backup.to_end()

    assert (run.state, run.consistency) == (State.PARTIAL, "application")
    assert outcomes(run)["complete"] == outcome
    assert run.reason == f"complete {outcome}"


def test_a_run_without_complete_succeeds(backup: Backup) -> None:
    backup.scripts()
    (backup.folder / "complete_policy1.sh").unlink()

    run = backup.to_end()

    assert (run.state, outcomes(run)["complete"]) == (State.SUCCEEDED, "missing")


def test_complete_runs_from_the_spool_when_its_folder_lost_it(backup: Backup) -> None:
    backup.scripts()
    run = backup.window()
    (backup.folder / "complete_policy1.sh").unlink()
    backup.cloud.advance()

    run = backup.complete(backup.settle(run))

    assert run.state == State.SUCCEEDED
    assert backup.marks[-1] == "complete 1"


def test_a_hint_that_comes_twice_completes_once(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    run = backup.window()
    backup.cloud.advance()
    backup.settle(run)

    completing.execute(run.pk)
    completing.execute(run.pk)

    assert backup.marks.count("complete 1") == 1


def test_a_second_worker_finds_the_run_kept(backup: Backup) -> None:
    backup.scripts()
    run = backup.window()
    backup.cloud.advance()
    backup.settle(run)
    held = spool.try_lock(backup.spooled(run), spool.KEEPER)
    assert held is not None

    backup.complete(run)
    assert (run.state, run.complete_started_at) == (State.COMPLETING, None)
    os.close(held)

    assert backup.complete(run).state == State.SUCCEEDED


def test_a_run_cancelled_in_the_last_moment_is_not_completed_with_1(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    run = backup.window()
    backup.cloud.advance()
    backup.settle(run)
    judge = completing._argument

    def cancel_meanwhile(one: Run, known: Worth) -> str:
        argument = judge(one, known)
        runs.cancel(Run.objects.get(pk=run.pk), by="alice")
        return argument

    monkeypatch.setattr(completing, "_argument", cancel_meanwhile)
    assert backup.complete(run).state == State.COMPLETING
    monkeypatch.undo()

    # The cloud of the fixture is gone with the patches; complete does not need it.
    assert backup.complete(run).state == State.CANCELLED
    assert "complete 1" not in backup.marks


def test_the_end_is_told_once(backup: Backup) -> None:
    backup.scripts()
    run = backup.to_end()
    ended_at = run.ended_at

    completing.execute(run.pk)

    run.refresh_from_db()
    assert run.ended_at == ended_at
    assert clock.now() > run.ended_at  # type: ignore[operator]
    assert run.phases.filter(phase="complete").count() == 1
