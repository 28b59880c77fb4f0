"""A run succeeds only with the consistency that its policy requires; a test only by what it did."""

from collections.abc import Callable
from typing import Any

import pytest

from policies.domain.errors import AnswerLostError, BackupError
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Alarm, Policy, Run
from policies.services.window import keeping, preparing
from scripts_admin.guard import keeper
from scripts_admin.guard.keeper import GuardLostError
from tests.policies.services.backup import Backup, outcomes

REQUIRED = "the snapshots are not application-consistent, which the policy requires"


def require(backup: Backup, wish: str) -> None:
    Policy.objects.update(success_requires=wish)
    backup.policy.refresh_from_db()


def _late(backup: Backup) -> None:
    backup.scripts()
    backup.cloud.fail_next("fire", AnswerLostError("No answer came."), done=True)


def _without_after(backup: Backup) -> None:
    backup.scripts()
    (backup.folder / "after_policy1.sh").unlink()


def _without_before(backup: Backup) -> None:
    backup.scripts()
    (backup.folder / "before_policy1.sh").unlink()


def _without_scripts(_: Backup) -> None:
    """Do nothing."""


def ended(backup: Backup) -> Run:
    run = backup.window()
    backup.settle(run)
    backup.cloud.advance()
    return backup.complete(backup.settle(run))


@pytest.mark.parametrize(
    ("arrange", "wish", "state"),
    [
        (_late, "auto", State.PARTIAL),
        (_late, "application", State.PARTIAL),
        (_late, "crash", State.SUCCEEDED),
        (_without_after, "auto", State.PARTIAL),
        (_without_after, "crash", State.SUCCEEDED),
        (_without_before, "auto", State.SUCCEEDED),
        (_without_before, "application", State.PARTIAL),
        (_without_scripts, "auto", State.SUCCEEDED),
        (_without_scripts, "application", State.PARTIAL),
    ],
)
def test_whole_snapshots_that_are_only_crash_consistent_are_what_the_policy_requires_or_partial(
    backup: Backup, arrange: Callable[[Backup], None], wish: str, state: State
) -> None:
    require(backup, wish)
    arrange(backup)

    run = ended(backup)

    assert (run.state, run.consistency) == (state, "crash")
    assert (REQUIRED in run.reason) == (state == State.PARTIAL)


def test_an_after_that_does_not_exist_is_named(backup: Backup) -> None:
    _without_after(backup)

    assert ended(backup).reason == (
        f"{REQUIRED}; there is no after script, which would prove that the application was held"
    )


def test_a_before_that_is_there_twice_requires_application_and_is_partial(backup: Backup) -> None:
    backup.scripts()
    (backup.folder / "before_policy1.old").write_text("#!/bin/bash\n")

    run = ended(backup)

    assert (run.state, run.success_requires) == (State.PARTIAL, "application")
    assert "before ambiguous" in run.reason


@pytest.mark.parametrize(
    ("wish", "enabled", "state", "argument"),
    [
        ("auto", True, State.PARTIAL, "0"),
        ("crash", True, State.SUCCEEDED, "1"),
        ("auto", False, State.SUCCEEDED, None),
    ],
)
def test_a_before_that_got_lost_is_no_policy_without_one(
    backup: Backup, wish: str, enabled: bool, state: State, argument: str | None
) -> None:
    Policy.objects.update(requires="application", scripts_enabled=enabled)
    require(backup, wish)
    _without_before(backup)

    run = ended(backup)

    assert run.state == state
    assert ("The before script of policy1 is gone" in run.reason) == (state == State.PARTIAL)
    assert run.phases.get(phase="complete").argument == (argument or "")


def test_an_automatic_thaw_is_partial_is_retried_and_raises_an_alarm(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    Policy.objects.update(retry_count=2)
    backup.policy.refresh_from_db()
    backup.scripts()

    def lose(*_: object) -> None:
        raise GuardLostError("thaw")

    monkeypatch.setattr(keeping, "_hold", lose)
    run = backup.start()
    keeping.execute(run.pk)
    run = backup.thaw(run)
    while run.state == State.THAWING:
        backup.thaw(run)
    backup.cloud.advance()
    run = backup.complete(backup.settle(run))

    assert run.state == State.PARTIAL
    assert run.retry_at is not None
    assert Alarm.objects.filter(kind="partial", run=run).exists()


def test_what_a_run_requires_is_decided_when_it_is_prepared(backup: Backup) -> None:
    backup.scripts()
    run = backup.window()

    require(backup, "crash")
    backup.cloud.advance()
    run = backup.complete(backup.settle(run))

    assert (run.state, run.success_requires) == (State.SUCCEEDED, "application")


def test_a_new_policy_has_two_retries(backup: Backup) -> None:
    assert Policy().retry_count == 2
    assert Policy().success_requires == "auto"


def try_out(backup: Backup, phase: str = "") -> Run:
    run = backup.start(Trigger.TEST, test_phase=phase)
    backup.window(run)
    if run.state == State.WAITING:
        backup.settle(run)
    return backup.complete(run)


def test_a_test_whose_guard_could_not_start_has_failed(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()

    def fail(*_: object, **__: object) -> Any:
        raise GuardLostError("ready")

    with monkeypatch.context() as patch:
        patch.setattr(keeper, "warm", fail)
        run = try_out(backup)

    assert run.state == State.FAILED
    assert "The guard of the window could not be started" in run.reason


def test_a_test_of_a_script_that_is_not_there_has_failed(backup: Backup) -> None:
    _without_before(backup)

    run = try_out(backup, "before")

    assert run.state == State.FAILED
    assert outcomes(run)["before"] == "missing"
    assert run.reason == "there is no before script to test"


def test_a_test_without_any_script_has_failed(backup: Backup) -> None:
    run = try_out(backup)

    assert run.state == State.FAILED
    assert run.reason == "there is no script to test"


def test_a_test_that_was_lost_before_its_window_has_failed(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()

    def refuse(*_: object) -> Any:
        raise BackupError("AWS said no.")

    monkeypatch.setattr(preparing, "prepare", refuse)

    assert try_out(backup).state == State.FAILED


def test_a_test_of_two_scripts_succeeds_where_the_third_is_missing(backup: Backup) -> None:
    backup.scripts()
    (backup.folder / "complete_policy1.sh").unlink()

    assert try_out(backup).state == State.SUCCEEDED
