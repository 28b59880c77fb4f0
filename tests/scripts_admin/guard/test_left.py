"""Processes that scripts leave behind: which are found, and which are ended."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from scripts_admin.guard import left, linux
from tests.scripts_admin.guard.stage import until

OWN = os.geteuid()
RUN = "7c1f3a52-0000-4000-8000-000000000001"


@contextmanager
def leader(script: str, run: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """Run a shell in a session of its own, and end all that is left of it."""
    environment = {"PATH": "/usr/bin:/bin"} | ({"N2W_RUN_ID": run} if run else {})
    with subprocess.Popen(
        ["/bin/sh", "-c", script], env=environment, start_new_session=True, stdout=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            left.end(left.find(RUN, [linux.identify(process.pid)], OWN))
            process.kill()


def names(*leaders: linux.Process) -> list[str]:
    return [each.name for each in left.find(RUN, leaders, OWN)]


def test_what_another_run_started_in_a_session_of_this_number_is_not_ours() -> None:
    """The kernel gives a session's number away when all of the session is gone."""
    other = "7c1f3a52-0000-4000-8000-000000000002"
    with leader("sleep 600 >/dev/null & echo; echo $!; read never", other) as process:
        assert process.stdout
        process.stdout.readline()
        child = int(process.stdout.readline())
        process.kill()
        process.wait()
        try:
            # Its leader is gone, as ours is: only the number is left.
            assert names(linux.Process(process.pid, 1)) == []
            os.kill(child, 0)
        finally:
            os.kill(child, 9)


def test_a_child_of_the_session_is_found_after_its_leader_has_ended() -> None:
    with leader("sleep 600 >/dev/null & echo") as process:
        known = linux.identify(process.pid)
        process.wait()
        # On a busy machine it is still a fork of its shell for a moment.
        until(lambda: names(known) != ["sh"])

        (found,) = left.find(RUN, [known], OWN)

    assert (found.name, found.seconds < 60) == ("sleep", True)


def test_a_child_in_another_session_is_found_by_the_runs_id() -> None:
    with leader("setsid sleep 600 >/dev/null & sleep 0.1; echo", RUN) as process:
        process.wait()
        until(lambda: names() == ["sleep"])


def test_an_id_that_another_account_has_copied_is_not_believed() -> None:
    with leader("setsid sleep 600 >/dev/null & sleep 0.1; echo", RUN) as process:
        process.wait()
        until(lambda: names() == ["sleep"])

        assert left.find(RUN, [], OWN + 1) == []


def test_processes_of_another_run_are_no_leftovers() -> None:
    with leader("sleep 600 >/dev/null & echo", f"{RUN[:-1]}2") as process:
        process.wait()

        assert names() == []
        left.end(left.find(f"{RUN[:-1]}2", [], OWN))


def test_one_look_finds_what_each_of_several_runs_left() -> None:
    other = f"{RUN[:-1]}2"
    with leader("sleep 600 >/dev/null & echo") as process:
        known = linux.identify(process.pid)
        process.wait()
        until(lambda: names(known) == ["sleep"])
        with leader("setsid sleep 601 >/dev/null & sleep 0.1; echo", other) as second:
            second.wait()
            sought = {RUN: left.Sought([known], OWN), other: left.Sought([], OWN)}
            until(lambda: [each.name for each in left.find_all(sought)[other]] == ["sleep"])

            found = left.find_all(sought)
            left.end(found[other])

    assert {run: [each.name for each in its] for run, its in found.items()} == {
        RUN: ["sleep"],
        other: ["sleep"],
    }
    assert not {each.process for each in found[RUN]} & {each.process for each in found[other]}


def test_a_session_whose_number_another_process_has_got_is_not_believed() -> None:
    with leader("sleep 600") as process:
        real = linux.identify(process.pid)
        former = linux.Process(real.pid, real.start_ticks - 1)

        assert names(former) == []


def test_what_ignores_term_is_killed_and_nothing_else_is_touched() -> None:
    stubborn = (
        f'{sys.executable} -c "import signal, time; signal.signal(15, signal.SIG_IGN); '
        'print(flush=True); time.sleep(600)"'
    )
    with leader(stubborn) as process, leader("sleep 600") as other:
        assert process.stdout is not None
        process.stdout.readline()
        known = linux.identify(process.pid)
        found = left.find(RUN, [known], OWN)

        gone = left.end(found)

        assert gone == {each.process for each in found} != set()
        assert linux.is_alive(linux.identify(other.pid))


def test_a_number_that_was_reused_is_not_signalled() -> None:
    with leader("sleep 600") as process:
        real = linux.identify(process.pid)
        wrong = left.Left(linux.Process(real.pid, real.start_ticks + 1), "sleep", 1.0)

        assert left.end([wrong]) == {wrong.process}
        assert linux.is_alive(real)
