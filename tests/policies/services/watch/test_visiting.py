"""Windows on instances whose processes died: the far sides thaw by themselves, and the watchdog hears of it."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from n2wbackup.lib import home
from policies.domain.runs.sequence import State
from policies.models import PhaseResult, Run
from policies.services.watch import abandoned
from policies.services.window import entering, keeping
from scripts_admin.guard import spool
from scripts_admin.guard.keeper import Guard
from tests.policies.services.backup import Backup, story, target
from tests.policies.services.distance import reached, server
from tests.policies.services.losses import dying, kill_guard_and_die, leave_and_die
from tests.scripts_admin.guard.stage import until

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]
__all__ = ["reached", "server"]


def carriers(run: Run) -> list[int]:
    """The carriers of a run; their titles name it."""
    title = f"n2wbackup carrier {run.pk}".encode()
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if title in each.read_bytes():
                found.append(int(each.parent.name))
    return found


def watched(run: Run) -> Run:
    """Let the watchdog work until the run is thawed."""
    thawer = abandoned.Thawer(home.spool(), home.runtime())

    def is_thawed() -> bool:
        thawer.turn()
        abandoned.enter_all()
        run.refresh_from_db()
        return run.state not in (State.FROZEN, State.THAWING) and bool(thawer.reap())

    until(is_thawed)
    return run


def test_what_an_instance_did_when_guard_and_worker_died_is_heard_in_a_second_session(
    reached: Backup,
) -> None:
    run = reached.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", kill_guard_and_die)
        keeping.execute(run.pk)
    until(lambda: reached.marks == ["before there", "after there 0"])

    watched(run)

    found = target(run)
    assert (found.thaw_by, run.thaw_by) == ("eof", "lost"), story(run)
    assert found.thawed_at is not None
    after = PhaseResult.remote.get(run=run, phase="after")
    assert (after.outcome, after.argument, after.thaw_by) == ("succeeded", "0", "eof")
    assert reached.marks == ["before there", "after there 0"]
    assert run.state == State.WAITING
    assert reached.report(run)["targets"][0]["phases"]["after"]["stdout"] == "released\n"


def test_when_only_the_worker_dies_its_guard_thaws_and_hears_of_it(reached: Backup) -> None:
    run = reached.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", lambda guard, _: leave_and_die(guard))
        keeping.execute(run.pk)

    watched(run)

    assert reached.marks == ["before there", "after there 1"]
    assert (target(run).thaw_by, run.thaw_by) == ("worker", "lost")
    assert target(run).consistency != "application"


def test_a_carrier_that_is_killed_while_frozen_makes_the_snapshots_crash_and_is_told(
    reached: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, thaw = reached.start(), Guard.thaw

    def killing(guard: Guard, seconds: float) -> object:
        (pid,) = carriers(run)
        os.kill(pid, signal.SIGKILL)
        until(lambda: len(reached.marks) == 2)
        return thaw(guard, seconds)

    monkeypatch.setattr(Guard, "thaw", killing)
    reached.window(run)
    assert run.state == State.FROZEN  # nobody knows yet, and soon somebody will

    watched(run)
    reached.policy.refresh_from_db()
    assert reached.policy.may_be_frozen_since is None

    assert reached.marks == ["before there", "after there 0"]
    assert (target(run).thaw_by, run.thaw_by) == ("eof", "instance")
    reached.cloud.advance()
    reached.settle(run)
    reached.complete(run)
    assert (run.state, run.consistency) == (State.PARTIAL, "crash")
    assert "thawed by itself (eof)" in run.reason


def test_an_instance_that_cannot_be_asked_keeps_the_run_thawing_and_a_person_can_end_that(
    reached: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entering, "PATIENCE_SECONDS", 0.0)
    run = reached.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", kill_guard_and_die)
        keeping.execute(run.pk)
    until(lambda: len(reached.marks) == 2)
    (home.spool() / str(run.pk) / spool.VISITS).write_text("{}")
    thawer = abandoned.Thawer(home.spool(), home.runtime())

    thawer.turn()
    abandoned.enter_all()
    events = run.events.count()
    abandoned.enter_all()

    run.refresh_from_db()
    assert run.state == State.THAWING
    assert "has not told yet that the thaw is over" in " ".join(story(run))
    assert run.events.count() == events  # nothing new is nothing to tell
    assert thawer.turn() == 1
    reached.policy.refresh_from_db()
    assert reached.policy.may_be_frozen_since is not None
