"""What happens to a window when one of its processes is stopped, or is dead but seems alive."""

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest

from scripts_admin.domain.phases import Phase
from scripts_admin.guard import guard as guards
from scripts_admin.guard import journal, linux, spool
from scripts_admin.guard.keeper import GuardLostError
from tests.scripts_admin.guard.stage import SECONDS, Stage, until

AFTER = 'echo "after $1" >> marks'

_LEFT_BEHIND = """
import ctypes, sys, threading, time
from pathlib import Path
from scripts_admin.guard import keeper, spool
folder, runtime = map(Path, sys.argv[1:])
guard = keeper.Guard(folder, runtime, spool.try_lock(folder), as_itself=True)
guard.wait_until_ready()
guard.go()
guard.before(10)
threading.Thread(target=time.sleep, args=(60,)).start()
print("frozen", flush=True)
ctypes.CDLL(None).syscall(int(sys.stdin.readline()), 0)
"""
EXIT_OF_ONE_THREAD = {"x86_64": 60, "aarch64": 93}


def test_a_worker_of_which_only_a_thread_is_left_has_its_window_thawed(stage: Stage) -> None:
    """As if a thread of a killed worker waits for the frozen disk: the pipe stays open all the time."""
    stage.script("before", "echo before >> marks")
    stage.script("after", AFTER)
    stage.spool()
    command = [sys.executable, "-c", _LEFT_BEHIND, str(stage.spooled), str(stage.runtime)]

    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert worker.stdout.readline() == "frozen\n"
        number = EXIT_OF_ONE_THREAD[os.uname().machine]
        worker.stdin.write(f"{number}\n")
        worker.stdin.flush()
        until(lambda: stage.mark("marks") == "before\nafter 1\n")
        os.kill(worker.pid, 0)
        worker.kill()

    until(lambda: not spool.is_held(stage.spooled))
    assert stage.journal.thaw_by == "lost"


def test_a_guard_that_was_stopped_past_the_deadline_thaws_when_it_wakes_and_says_so(
    stage: Stage,
) -> None:
    stage.script("before", "true")
    stage.script("after", "echo $1 >after.mark")
    with stage.guarded(stage.record(max_freeze_seconds=4.0)) as guard:
        guard.go()
        assert guard.before(SECONDS) == "succeeded"
        os.kill(guard.pid, signal.SIGSTOP)
        opened = linux.boottime()
        with pytest.raises(GuardLostError):
            guard.thaw(0.1)
        until(lambda: linux.boottime() > opened + 4.1)

        guard.wake()
        guard.wait_until_over(SECONDS)

    assert stage.mark("after.mark") == "1\n"
    assert stage.journal.thaw_by == "deadline"


def test_a_word_that_comes_past_the_deadline_is_late_although_nobody_has_looked_yet(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.script("after", "true")
    worker, theirs = multiprocessing.Pipe()
    record = stage.spool(stage.record(max_freeze_seconds=60.0))
    lock = spool.try_lock(stage.spooled)
    assert lock is not None
    itself = linux.identify(os.getpid())
    orders = guards.Orders(stage.spooled, stage.runtime, guards.Lock(lock), itself)
    window = guards.Window(theirs, record, journal.Writer(stage.runtime), orders)
    worker.send("go")
    worker.send("thaw")
    window._on_word(theirs.fileno())
    real = linux.boottime
    monkeypatch.setattr(linux, "boottime", lambda: real() + 61)  # the machine has slept

    window._on_word(theirs.fileno())
    window.keep()
    os.close(lock)

    assert stage.journal.thaw_by == "deadline"


def test_a_script_that_was_stopped_at_its_gate_goes_all_the_same(stage: Stage) -> None:
    stage.script("before", "true")
    stage.script("after", "echo $1 >after.mark")
    with stage.guarded() as guard:
        after = stage.attempt(Phase.AFTER).process
        assert after is not None
        os.kill(after.pid, signal.SIGSTOP)
        guard.go()
        guard.before(SECONDS)
        assert guard.thaw(SECONDS) == "worker"
        guard.wait_until_over(SECONDS)

    assert stage.mark("after.mark") == "1\n"
    assert stage.attempt(Phase.AFTER).outcome == "succeeded"
