"""Runs of a server that is gone, seen from another: taken over where that is safe, told where it is not."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
import time_machine
from pytest_django import Settings

from n2wbackup.lib import clock, home
from policies.domain.errors import AnswerLostError, RefusedError
from policies.domain.runs.sequence import Event, State
from policies.models import Alarm, Policy, Run, RunTarget, Server, WindowLease
from policies.services import claiming, runs
from policies.services.following import completing, polling
from policies.services.following.in_flight import Flight
from policies.services.servers import heart
from policies.services.watch import abandoned, adopting, confirming
from policies.services.window import ending, keeping
from scripts_admin.guard import spool
from tests import factories
from tests.policies.services.backup import Backup, outcomes, state, story, target
from tests.policies.services.elsewhere import Elsewhere
from tests.policies.services.losses import dying, leave_and_die
from tests.scripts_admin.guard.stage import until

LOST = AnswerLostError("No answer came from CreateSnapshots: it may have been done.")


@pytest.fixture
def gone(backup: Backup) -> Server:
    """Give this server as one that is gone: the tests look from the other."""
    backup.scripts()
    heart.beat()
    Server.objects.update(gone_at=clock.now(), host="web1")
    return Server.objects.get()


def adopt(elsewhere: Elsewhere, minutes: float = 0.0) -> int:
    """Adopt as the other server does, so many minutes from now."""
    with elsewhere.here(), time_machine.travel(clock.now() + timedelta(minutes=minutes)):
        return adopting.adopt()


def unfinished(backup: Backup, run_state: State, **columns: object) -> Run:
    """Return a run of this server in the state."""
    made = factories.RunFactory.create(
        policy=backup.policy,
        state=run_state,
        server=home.server_id(),
        ordered_at=clock.now(),
        **columns,
    )
    factories.RunTargetFactory.create(run=made, state=RunTarget.State.PLANNED)
    WindowLease.objects.create(resource="r:1", run=made, taken_at=clock.now())
    return made


def marked() -> bool:
    return Policy.objects.filter(may_be_frozen_since__isnull=False).exists()


# Safe


def test_a_run_of_which_nothing_was_frozen_is_queued_again(
    backup: Backup, gone: Server, elsewhere: Elsewhere
) -> None:
    run = backup.start()
    stale = claiming.take(run.pk)
    assert stale is not None

    assert adopt(elsewhere) == 1

    assert state(run) == State.QUEUED
    assert f"server web1 ({gone.pk}) is gone while preparing; nothing was frozen" in story(run)[-1]
    with elsewhere.here():
        assert backup.to_end(run).state == State.SUCCEEDED
    # The first server comes back, in the middle of its preparation.
    assert not runs.apply(stale, Event.ORDERED, "the window opens")
    assert backup.marks == ["before", "after 1", "complete 1"]


def test_a_run_whose_server_would_thaw_it_first_waits_for_that(
    backup: Backup, gone: Server, elsewhere: Elsewhere
) -> None:
    run = backup.start()
    with dying(run) as patch:
        patch.setattr(keeping, "_order", lambda _, guard: leave_and_die(guard))
        keeping.execute(run.pk)
    assert (state(run), (backup.spooled(run) / spool.RECORD).exists()) == (State.PREPARING, True)

    assert adopt(elsewhere) == 0
    assert adopt(elsewhere, minutes=14) == 0
    assert state(run) == State.PREPARING

    # Its server comes back, without its memory, and thaws before it looks at the rows.
    spool.remove(home.runtime() / str(run.pk))
    heart.beat()
    backup.thaw(run)
    assert state(run) == State.QUEUED
    assert backup.marks == ["after 0"]
    assert not (backup.spooled(run) / spool.RECORD).exists()
    assert abandoned.Thawer(home.spool(), home.runtime()).turn() == 0


@pytest.mark.parametrize("run_state", [State.QUEUED, State.WAITING])
def test_what_needs_no_spool_goes_on_as_if_nothing_had_been(
    backup: Backup, gone: Server, elsewhere: Elsewhere, run_state: State
) -> None:
    run = unfinished(backup, run_state)

    assert adopt(elsewhere, minutes=600) == 0

    assert state(run) == run_state


def test_runs_of_a_server_that_lives_are_left_to_it(
    backup: Backup, gone: Server, elsewhere: Elsewhere
) -> None:
    Server.objects.update(gone_at=None)
    run = unfinished(backup, State.PREPARING)

    assert adopt(elsewhere, minutes=600) == 0

    assert state(run) == State.PREPARING


def test_a_server_that_comes_back_at_the_same_moment_keeps_its_runs(
    backup: Backup, gone: Server, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = unfinished(backup, State.PREPARING)
    atomic = adopting._adopt

    def late(*arguments: object) -> bool:
        Server.objects.update(gone_at=None)
        return atomic(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(adopting, "_adopt", late)

    assert adopt(elsewhere) == 0
    assert state(run) == State.PREPARING


# Told


@pytest.mark.parametrize("run_state", [State.FROZEN, State.THAWING])
def test_a_window_that_only_the_gone_server_can_thaw_is_told_once_and_keeps_its_leases(
    backup: Backup, gone: Server, elsewhere: Elsewhere, run_state: State
) -> None:
    run = unfinished(backup, run_state)

    assert adopt(elsewhere) == 1
    assert adopt(elsewhere) == 0

    assert (state(run), marked()) == (run_state, True)
    assert WindowLease.objects.filter(run=run).exists()
    alarm = Alarm.objects.get(kind="may_be_frozen")
    assert alarm.title.endswith(f"server web1 ({gone.pk}) is gone")
    assert "Start that server again: first of all it thaws what it left frozen." in alarm.text
    assert f"confirm_thaw {run.label}" in alarm.text


def test_when_its_server_would_have_given_up_the_run_goes_on_and_ends(
    backup: Backup, gone: Server, elsewhere: Elsewhere
) -> None:
    backup.cloud.fail_next("fire", LOST, done=True)
    run = backup.window()
    Run.objects.update(state=State.FROZEN)
    RunTarget.objects.update(state=RunTarget.State.PLANNED)
    adopt(elsewhere)
    assert adopt(elsewhere, minutes=16) == 0

    assert adopt(elsewhere, minutes=backup.policy.thaw_retry_minutes + 16) == 1

    assert (state(run), marked()) == (State.WAITING, True)
    assert not WindowLease.objects.exists()
    with elsewhere.here():
        polling.poll()  # what was fired is found by the tag of the server that is gone
        backup.cloud.advance()
        polling.poll()
        assert state(run) == State.COMPLETING
        assert adopt(elsewhere, minutes=16) == 1
    run.refresh_from_db()
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert f"Server web1 ({gone.pk}) is gone, and only it could thaw" in run.reason
    assert "complete was not run" in run.reason


def test_a_person_confirms_a_thaw_that_its_server_cannot_make(
    backup: Backup, gone: Server, elsewhere: Elsewhere
) -> None:
    run = unfinished(backup, State.FROZEN)
    with elsewhere.here(), pytest.raises(RefusedError):
        confirming.confirm(backup.policy, by="alice")
    adopt(elsewhere)
    backup.policy.refresh_from_db()

    with elsewhere.here():
        confirming.confirm(backup.policy, by="alice")

    assert (state(run), marked()) == (State.WAITING, False)
    assert target(run).state == RunTarget.State.UNKNOWN
    assert not WindowLease.objects.exists()


def test_a_server_that_comes_back_in_time_enters_its_thaw_as_always(
    backup: Backup, gone: Server, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = backup.start()
    with monkeypatch.context() as patch:
        patch.setattr("policies.services.window.at_once.enter", lambda *_: False)
        patch.setattr("policies.services.window.entering.thaw", lambda *_: False)
        backup.window(run)
    assert state(run) == State.FROZEN
    adopt(elsewhere)
    assert marked()

    heart.beat()
    abandoned.enter_all()

    assert (state(run), marked()) == (State.WAITING, False)


@pytest.mark.parametrize("after", ["exit 0", "exit 1"])
def test_what_was_given_up_is_thawed_all_the_same_when_the_server_comes_back(
    backup: Backup, gone: Server, elsewhere: Elsewhere, after: str
) -> None:
    backup.scripts(after="exit 1")
    run = backup.window()
    assert run.state == State.THAWING
    Server.objects.update(removed_at=clock.now())
    adopt(elsewhere)
    assert adopt(elsewhere) == 1
    assert state(run) == State.WAITING
    backup.scripts(after=after)

    heart.beat()
    with elsewhere.here():
        runs.cancel(Run.objects.get(pk=run.pk), by="alice")
    until(lambda: backup.thaw(run) is not None and backup.marks.count("after 1") > 1)

    assert marked() == (after == "exit 1")
    assert (backup.spooled(run) / spool.RECORD).exists() == (after == "exit 1")


# complete


def test_a_complete_that_was_not_started_waits_for_its_server_and_is_told_at_last(
    backup: Backup, gone: Server, elsewhere: Elsewhere
) -> None:
    run = backup.settle(_fired(backup))
    assert adopt(elsewhere, minutes=14) == 0

    assert adopt(elsewhere, minutes=16) == 1

    run.refresh_from_db()
    assert (run.state, run.consistency) == (State.PARTIAL, "application")
    assert run.reason.endswith(
        f"Server web1 ({gone.pk}) is gone, and only it could run complete, so complete was not run."
    )
    completing.execute(run.pk)  # the server is back, and finds an old hint
    abandoned.enter_all()
    assert "complete 1" not in backup.marks
    assert not backup.spooled(run).exists()


def test_a_complete_that_may_have_been_run_is_not_run_again(
    backup: Backup, gone: Server, elsewhere: Elsewhere
) -> None:
    run = backup.settle(_fired(backup))
    Run.objects.update(complete_started_at=clock.now())
    runs.record(run, f"{ending.COMPLETE_STARTED} 1")

    assert adopt(elsewhere, minutes=16) == 1

    run.refresh_from_db()
    assert run.state == State.PARTIAL
    assert outcomes(run)["complete"] == "interrupted"
    assert "it is not known whether it came to its end" in run.reason


def test_of_the_gone_server_and_another_one_takes_the_complete(
    backup: Backup, gone: Server, elsewhere: Elsewhere, settings: Settings
) -> None:
    settings.N2W_SERVER_WAIT_SECONDS = 0
    run = backup.settle(_fired(backup))
    claim = completing._claim

    with pytest.MonkeyPatch.context() as patch:

        def late(some: Sequence[Flight]) -> None:
            patch.undo()
            adopt(elsewhere)
            claim(some)

        patch.setattr(completing, "_claim", late)
        backup.complete(run)

    run.refresh_from_db()
    assert run.state == State.PARTIAL
    assert "complete 1" not in backup.marks


def _fired(backup: Backup) -> Run:
    run = backup.window()
    backup.cloud.advance()
    return run
