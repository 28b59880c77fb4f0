"""What happens to a window when its worker or its guard is lost, or its deadline passes."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from threading import Thread

import pytest

from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.guard import journal, linux, spool, thaw
from scripts_admin.guard.keeper import Guard, GuardLostError
from tests.ground.hanging import hanging
from tests.scripts_admin.guard.stage import AT_ONCE, SECONDS, Stage, gone, until

AFTER = 'echo "after $1" >> marks'
UNTIL_ASKED = "until [ -e asked ]; do sleep 0.02; done"  # the guard is there until then
HANG = "echo $$ > pid; sleep 60"


def lose(stage: Stage, guard: Guard) -> None:
    """SIGKILL the guard, and return once its lock is free."""
    os.kill(guard.pid, signal.SIGKILL)
    until(lambda: not spool.is_held(stage.spooled))


def test_a_worker_that_goes_before_go_leaves_nothing_run(stage: Stage) -> None:
    stage.script("before", "touch marks")
    stage.script("after", "touch marks")

    with stage.guarded() as guard:
        guard.release()
        until(lambda: not spool.is_held(stage.spooled))

    assert not (stage.folder / "marks").exists()
    assert not stage.journal.opened
    assert stage.standing().before == Outcome.NOT_RUN
    assert stage.standing().due is None
    for attempt in stage.journal.attempts.values():
        assert attempt.process is not None
        until(lambda leader=attempt.process: linux.group_is_gone(leader))  # type: ignore[misc]


def test_a_worker_that_goes_during_before_has_it_ended_and_thawed(stage: Stage) -> None:
    stage.script("before", HANG)
    stage.script("after", AFTER)

    with stage.guarded() as guard:
        guard.go()
        pid = stage.pid("pid")
        guard.release()
        until(lambda: not spool.is_held(stage.spooled))

    assert gone(pid)
    assert stage.mark("marks") == "after 0\n"
    assert stage.outcomes() == {"before": Outcome.INTERRUPTED, "after": Outcome.SUCCEEDED}
    assert stage.journal.thaw_by == "lost"
    due = stage.standing().due
    assert (
        due is not None
    )  # before was cut short: after runs once more when before's timeout has passed
    assert due.at > linux.boottime() + 1


def test_a_worker_that_goes_while_frozen_has_it_thawed_at_once_with_1(stage: Stage) -> None:
    stage.script("before", "echo before >> marks")
    stage.script("after", AFTER)

    with stage.guarded() as guard:
        guard.go()
        guard.before(SECONDS)
        closed = linux.boottime()
        guard.release()
        until(lambda: stage.mark("marks").endswith("after 1\n"))

    assert (stage.attempt(Phase.AFTER).ordered_boot or 0.0) - closed < AT_ONCE
    assert stage.journal.thaw_by == "lost"
    assert stage.standing().due is None


_WORKER = """
import sys, time
from pathlib import Path
from scripts_admin.guard import keeper, spool
folder, runtime = map(Path, sys.argv[1:])
guard = keeper.Guard(folder, runtime, spool.try_lock(folder), as_itself=True)
guard.wait_until_ready()
guard.go()
guard.before(10)
print("frozen", flush=True)
time.sleep(60)
"""


def test_a_worker_that_is_killed_while_frozen_is_followed_by_after_at_once(
    stage: Stage,
) -> None:
    stage.script("before", "echo before >> marks")
    stage.script("after", AFTER)
    stage.spool()
    command = [sys.executable, "-c", _WORKER, str(stage.spooled), str(stage.runtime)]

    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"frozen\n"
        killed = linux.boottime()
        worker.kill()
        until(lambda: stage.mark("marks") == "before\nafter 1\n")

    assert (stage.attempt(Phase.AFTER).ordered_boot or 0.0) - killed < AT_ONCE
    until(lambda: not spool.is_held(stage.spooled))
    assert stage.journal.thaw_by == "lost"


def test_the_deadline_ends_before_and_thaws(stage: Stage) -> None:
    stage.script("before", HANG)
    stage.script("after", f"{AFTER}; {UNTIL_ASKED}")

    with stage.guarded(stage.record(max_freeze_seconds=0.4)) as guard:
        guard.go()
        assert guard.before(SECONDS) == Outcome.INTERRUPTED
        assert guard.thaw(SECONDS) == "deadline"
        (stage.folder / "asked").touch()
        guard.wait_until_over(SECONDS)

    assert stage.mark("marks") == "after 0\n"
    opened = stage.journal.opened_boot or 0.0
    assert 0.4 <= (stage.journal.thaw_boot or 0.0) - opened < AT_ONCE


def test_a_worker_that_wakes_after_the_deadline_is_told_that_it_came_too_late(stage: Stage) -> None:
    stage.script("before", "echo before >> marks")
    stage.script("after", AFTER)

    with stage.guarded(stage.record(max_freeze_seconds=4.0)) as guard:
        guard.go()
        guard.before(SECONDS)
        guard.wait_until_over(SECONDS)  # the worker does not ask for the thaw

    assert stage.mark("marks") == "before\nafter 1\n"
    assert stage.journal.thaw_by == "deadline"


def test_the_answer_to_thaw_says_who_began_it(stage: Stage) -> None:
    stage.script("before", "echo before >> marks")
    stage.script("after", UNTIL_ASKED)

    with stage.guarded(stage.record(max_freeze_seconds=0.3)) as guard:
        guard.go()
        guard.before(SECONDS)
        until(lambda: stage.journal.thaw_by)
        assert guard.thaw(SECONDS) == "deadline"
        (stage.folder / "asked").touch()
        guard.wait_until_over(SECONDS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_guard_cannot_be_talked_out_of_its_window(stage: Stage, number: signal.Signals) -> None:
    stage.script("before", "echo before >> marks")
    stage.script("after", AFTER)

    with stage.guarded() as guard:
        guard.go()
        guard.before(SECONDS)
        os.kill(guard.pid, number)
        assert guard.thaw(SECONDS) == "worker"
        guard.wait_until_over(SECONDS)

    assert stage.mark("marks") == "before\nafter 1\n"


def test_a_guard_killed_during_before_is_followed_by_its_end_and_two_thaws(stage: Stage) -> None:
    stage.script("before", f"(trap '' TERM; exec sleep 61) & echo $! > child; {HANG}")
    stage.script(
        "after", f"{AFTER}; for p in $(cat pid child); do grep -s State /proc/$p/status; done; :"
    )

    with stage.guarded(stage.record(before_seconds=4)) as guard:
        guard.go()
        pid, child = stage.pid("pid"), stage.pid("child")
        lose(stage, guard)
        with pytest.raises(GuardLostError):
            guard.before(SECONDS)
        assert not gone(pid)  # nobody has ended it yet, so it may still freeze

        due = stage.standing().due
        assert due is not None
        assert (due.attempt, due.argument, due.at) == (1, "0", 0.0)
        first = stage.thaw()

        assert gone(pid)
        assert gone(child)
        assert all("zombie" in line for line in first.stdout.splitlines())
        assert stage.mark("marks") == "after 0\n"
        second = stage.thaw()

    assert stage.mark("marks") == "after 0\nafter 0\n"
    assert (second.ordered_boot or 0.0) - (first.ordered_boot or 0.0) >= 4.0
    assert stage.standing().due is None
    assert stage.outcomes()["before"] == Outcome.INTERRUPTED


def test_a_before_that_has_no_after_is_ended_when_its_guard_was_killed(stage: Stage) -> None:
    stage.script("before", HANG)

    with stage.guarded() as guard:
        guard.go()
        pid = stage.pid("pid")
        lose(stage, guard)
        until(lambda: not spool.is_held(stage.spooled))
        due = stage.standing().due
        assert due is not None  # nobody has ended it yet, so it may still freeze
        lock = spool.try_lock(stage.spooled)
        assert lock is not None
        thaw.start(stage.spooled, stage.runtime, lock, due, as_itself=True).wait_until_done(SECONDS)

    assert gone(pid)
    assert stage.standing().is_thawed
    assert "after" not in stage.outcomes()


def test_a_guard_killed_while_frozen_is_followed_by_after_with_1(stage: Stage) -> None:
    stage.script("before", "sleep 60 & echo $! > child")
    # Check that it is alive: a zombie could be signalled too.
    stage.script("after", f"{AFTER}; grep -q '^State:.[SR]' /proc/$(cat child)/status")

    with stage.guarded() as guard:
        guard.go()
        guard.before(SECONDS)
        lose(stage, guard)
        # The child that before left behind holds the lock that after releases: it is not before itself, and must live.
        assert stage.thaw().outcome == Outcome.SUCCEEDED

    os.kill(stage.pid("child"), signal.SIGKILL)
    assert stage.mark("marks") == "after 1\n"
    assert stage.journal.thaw_by == "lost"  # nobody asked for it
    assert stage.standing().due is None


def test_a_guard_killed_before_go_was_heard_leaves_nothing_run(stage: Stage) -> None:
    stage.script("before", "touch marks")
    stage.script("after", "touch marks")

    with stage.guarded() as guard:
        lose(stage, guard)

        assert stage.standing().due is None
        for attempt in stage.journal.attempts.values():
            assert attempt.process is not None
            until(lambda leader=attempt.process: linux.group_is_gone(leader))  # type: ignore[misc]
    assert not (stage.folder / "marks").exists()


def test_an_after_that_lost_its_guard_gets_its_time_and_two_never_run_at_once(stage: Stage) -> None:
    stage.script("before", "echo before >> marks")
    stage.script(
        "after",
        "mkdir busy || echo overlap >> marks; touch began; sleep 0.4; rmdir busy;"
        ' echo "after $1 $N2W_ATTEMPT" >> marks',
    )

    with stage.guarded() as guard:
        guard.go()
        guard.before(SECONDS)
        guard.thaw(SECONDS)
        until((stage.folder / "began").exists)
        lose(stage, guard)

        standing = stage.standing()
        assert standing.due is not None
        assert (standing.due.attempt, standing.due.argument) == (2, "1")
        assert stage.thaw().outcome == Outcome.SUCCEEDED

    assert stage.mark("marks") == "before\nafter 1 1\nafter 1 2\n"
    assert stage.attempt(Phase.AFTER).settled == Outcome.INTERRUPTED


def test_an_after_that_hangs_without_its_guard_is_ended_before_the_next(stage: Stage) -> None:
    stage.script("before", "echo before >> marks")
    stage.script("after", f'[ $N2W_ATTEMPT = 2 ] && {AFTER} && exit; trap "" TERM; {HANG}')

    with stage.guarded(stage.record(after_seconds=3)) as guard:
        guard.go()
        guard.before(SECONDS)
        guard.thaw(SECONDS)
        pid = stage.pid("pid")
        lose(stage, guard)
        assert stage.thaw().outcome == Outcome.SUCCEEDED

    assert gone(pid)
    assert stage.mark("marks") == "before\nafter 1\n"


def test_the_journal_lost_with_everything_else_is_thawed_with_0_twice(stage: Stage) -> None:
    stage.script("before", "echo before >> marks")
    stage.script("after", AFTER)

    with stage.guarded(stage.record(before_seconds=3)) as guard:
        guard.go()
        guard.before(SECONDS)
        lose(stage, guard)
        (stage.runtime / "journal").unlink()
        stage.runtime.rmdir()

        assert stage.thaw().outcome == Outcome.SUCCEEDED
        assert stage.thaw().outcome == Outcome.SUCCEEDED

    assert stage.mark("marks") == "before\nafter 0\nafter 0\n"
    assert stage.standing().due is None


def test_a_script_killed_at_its_gate_is_forked_anew(stage: Stage) -> None:
    stage.script("before", "echo before >> marks")
    stage.script("after", AFTER)

    with stage.guarded() as guard:
        for attempt in stage.journal.attempts.values():
            assert attempt.process is not None
            os.kill(attempt.process.pid, signal.SIGKILL)
            until(lambda leader=attempt.process: linux.group_is_gone(leader))  # type: ignore[misc]
        guard.go()
        assert guard.before(SECONDS) == Outcome.SUCCEEDED
        guard.thaw(SECONDS)
        guard.wait_until_over(SECONDS)

    assert stage.mark("marks") == "before\nafter 1\n"


def test_a_record_that_does_not_tell_how_to_thaw_starts_nothing(stage: Stage) -> None:
    stage.script("after", f"{AFTER}")
    stage.spool()
    path = stage.spooled / spool.RECORD
    path.write_text(path.read_text().replace('"identity"', '"account"'))

    with pytest.raises(spool.UnreadableRecordError, match="identity"):
        stage.standing()
    guard = stage.guard()
    with pytest.raises(GuardLostError):
        guard.wait_until_ready()
    guard.release()

    until(lambda: not spool.is_held(stage.spooled))
    assert stage.mark("marks") == ""


def test_a_process_of_a_phase_that_is_unknown_here_is_ended_before_after_runs(
    stage: Stage,
) -> None:
    """Another version may have run more scripts than this one knows; none may act after the thaw."""
    stage.script("after", 'kill -0 "$(cat rogue.pid)" && echo alive >seen || echo gone >seen')
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as rogue:
        (stage.folder / "rogue.pid").write_text(str(rogue.pid))
        stage.spool(replace(stage.record(), format=spool.FORMAT + 1))
        writer = journal.Writer(stage.runtime)
        found = linux.identify(rogue.pid)
        writer.write("opened")
        writer.write(
            "spawned", phase="before@i-1", attempt=1, pid=found.pid, start_ticks=found.start_ticks
        )
        reaper = Thread(target=rogue.wait, daemon=True)
        reaper.start()

        stage.thaw()

        rogue.kill()
    assert (stage.folder / "seen").read_text() == "gone\n"


def test_a_folder_that_hangs_keeps_no_thaw_from_running(stage: Stage) -> None:
    stage.script("before", "true")
    stage.script("after", "echo copy $1")

    with stage.guarded() as guard:
        guard.go()
        guard.before(SECONDS)
        with hanging(stage.folder):
            guard.thaw(SECONDS)
            guard.wait_until_over(SECONDS)

    after = stage.attempt(Phase.AFTER)
    assert (after.outcome, after.stdout) == (Outcome.SUCCEEDED, "copy 1\n")


def test_a_folder_that_hangs_keeps_no_later_thaw_from_running(stage: Stage) -> None:
    stage.script("before", "true")
    stage.script("after", "echo copy $1")

    with stage.guarded() as guard:
        guard.go()
        guard.before(SECONDS)
        lose(stage, guard)
        with hanging(stage.folder):
            after = stage.thaw()

    assert (after.outcome, after.stdout) == (Outcome.SUCCEEDED, "copy 1\n")
