"""What the kernel says about a script's process and its group."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from scripts_admin.guard import linux
from tests.scripts_admin.guard.stage import gone, until

SLEEP = ["sleep", "60"]


@pytest.fixture
def unsettled() -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process that was forked and has not created its group yet, as just before setsid."""
    with subprocess.Popen(SLEEP) as process:
        yield process
        process.kill()


@pytest.fixture
def settled() -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process that leads its own group."""
    with subprocess.Popen(SLEEP, start_new_session=True) as process:
        yield process
        process.kill()


def test_a_leader_that_has_founded_no_group_yet_is_not_gone(
    unsettled: subprocess.Popen[bytes],
) -> None:
    assert not linux.group_is_gone(linux.identify(unsettled.pid))


def test_a_leader_that_has_founded_no_group_yet_is_reached_all_the_same(
    unsettled: subprocess.Popen[bytes],
) -> None:
    linux.signal_group(linux.identify(unsettled.pid), signal.SIGKILL)

    until(lambda: gone(unsettled.pid))
    assert linux.group_is_gone(linux.identify(unsettled.pid))


def test_a_group_is_reached_and_then_gone(settled: subprocess.Popen[bytes]) -> None:
    leader = linux.identify(settled.pid)
    assert not linux.group_is_gone(leader)

    linux.signal_group(leader, signal.SIGKILL)

    until(lambda: linux.group_is_gone(leader))


@pytest.mark.parametrize("process", ["unsettled", "settled"])
def test_another_process_that_has_the_pid_now_is_neither_hit_nor_taken_for_it(
    process: str, request: pytest.FixtureRequest
) -> None:
    other: subprocess.Popen[bytes] = request.getfixturevalue(process)
    known = linux.identify(other.pid)
    earlier = linux.Process(known.pid, known.start_ticks - 1)

    linux.signal_group(earlier, signal.SIGKILL)

    assert linux.group_is_gone(earlier)
    assert other.poll() is None
    os.kill(other.pid, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_group_of_somebody_else_is_no_error(settled: subprocess.Popen[bytes]) -> None:
    """A before that became root by `exec sudo` cannot be ended; this must not end the guard that has to thaw."""
    leader = linux.identify(settled.pid)
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.setresuid(4711, 4711, 4711)
            linux.signal_group(leader, signal.SIGKILL)
            code = 0
        finally:
            os._exit(code)

    assert os.waitpid(pid, 0)[1] == 0
    assert not linux.group_is_gone(leader)
