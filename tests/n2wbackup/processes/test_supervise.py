"""What our process changes in supervisor's behaviour: real forks."""

import os
import signal
from collections.abc import Iterator

import pytest

from n2wbackup.processes import supervise

TAKEN = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP]


@pytest.fixture
def options() -> Iterator[supervise._Options]:
    """Yield supervisor's options, with the signal handlers that it has while it runs."""
    before = {number: signal.getsignal(number) for number in (*TAKEN, signal.SIGCHLD)}
    made = supervise._Options()
    made.setsignals()
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", TAKEN)
def test_a_child_that_is_ended_in_the_moment_of_its_fork_ends(
    options: supervise._Options, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    real = os.fork

    def fork_and_hit() -> int:
        pid = real()
        if not pid:
            os.kill(os.getpid(), number)
        return pid

    monkeypatch.setattr(os, "fork", fork_and_hit)

    pid = options.fork()
    if not pid:
        os._exit(0)  # stands for the exec

    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -number


def test_who_forks_hears_its_signals_as_before(options: supervise._Options) -> None:
    handlers = [signal.getsignal(number) for number in TAKEN]

    pid = options.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)

    assert [signal.getsignal(number) for number in TAKEN] == handlers
    assert not set(TAKEN) & set(signal.pthread_sigmask(signal.SIG_BLOCK, []))
