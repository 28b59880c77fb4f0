"""The process that restarts all others: `python -m n2wbackup.processes.supervise LOCK CONF NOTIFY`.

It is supervisor's own daemon with six changes: it looks for dead children twenty times a second, a
child can be ended from its first moment, it never waits for the disk of its logs, it kills a web
process that does not answer (so that it is started again), it holds the lock of `N2W_HOME` (the
open descriptor LOCK) as long as it lives, and the server's programs are forks of it, because it has
loaded what they use. It runs nothing of that itself: this process must not fail.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from setproctitle import setproctitle
from supervisor import supervisord
from supervisor.medusa import asyncore_25 as asyncore
from supervisor.options import ServerOptions

from n2wbackup.processes import forking, log_files, serve_lock, vigil

# A dead child is noticed when its output ends, or by polling if a grandchild keeps the output open.
_LOOK_SECONDS = 0.05
_WEB = "web"
_SILENT = (
    f"The web process has not answered /health/live for {vigil.SILENT_SECONDS:.0f} s: "
    "it is killed and started again."
)
_NOT_LOADED = (
    "Each program loads what it needs by itself, because loading it at once failed: {problem}"
)
_TAKEN = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


class _Options(ServerOptions):  # type: ignore[misc] # supervisor has no annotations
    """Supervisor's options, with a poller that never sleeps long, and forks that lose no signal and need no exec."""

    def __init__(self, look: Callable[[], None] = lambda: None) -> None:
        """`look` is called in each turn."""
        super().__init__()
        poll = self.poller.poll

        def turn(timeout: float) -> Any:  # noqa: ANN401 - what supervisor's pollers return
            look()
            return poll(min(timeout, _LOOK_SECONDS))

        self.poller.poll = turn
        self.forks = False  # the server's own programs, instead of executing them
        self.parent = os.getpid()

    def fork(self) -> int:
        """Fork a child that SIGTERM ends at once, even before it has executed its program.

        Otherwise the child would only note the signal, as supervisor does, and lose the note at the exec.
        """
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _TAKEN)
        try:
            pid = os.fork()
            if not pid:
                for number in _TAKEN:
                    signal.signal(number, signal.SIG_DFL)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return pid

    def execve(self, filename: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Turn this child into the program: one of ours goes on in this very process."""
        program = forking.words(argv) if self.forks else None
        if program is None:
            super().execve(filename, argv, env)
        else:
            forking.become(program, env, self.parent)


class _Web:
    """The web process among supervisor's own; without a pid while it does not run."""

    def __init__(self, daemon: supervisord.Supervisor) -> None:
        self._daemon = daemon

    def _process(self) -> Any:  # noqa: ANN401 - supervisor has no annotations
        groups = self._daemon.process_groups.values()
        return next((group.processes[_WEB] for group in groups if _WEB in group.processes), None)

    @property
    def pid(self) -> int | None:
        process = self._process()
        return (process.pid or None) if process is not None else None

    def kill_hard(self) -> None:
        # Not supervisor's own `kill`: what is ended by that is not started again.
        self._process().signal(signal.SIGKILL)


def main(lock: int, conf: str, notify: str) -> None:
    """Run every program of `conf` until SIGTERM, SIGINT or SIGHUP, and return when all have ended.

    `notify` is the path of the socket on which the web process reports.

    Groups are stopped one after another, the highest priority first; the programs of a group at
    once.
    """
    os.set_inheritable(lock, False)  # noqa: FBT003 - Python's own signature
    serve_lock.sign(lock)
    setproctitle("n2wbackup serve")
    log_files.install()
    ear = vigil.Ear(Path(notify))
    ear.invite()
    watch = vigil.Vigil(ear)

    def look() -> None:
        if watch.look(web, time.monotonic()):
            options.logger.warn(_SILENT)  # noqa: G010 - supervisor has its own loggers

    options: Any = _Options(look)
    options.realize(["--nodaemon", "--configuration", conf])
    options.first = True
    options.test = False
    problem = forking.load()
    options.forks = not problem
    if problem:
        sys.stderr.write(_NOT_LOADED.format(problem=problem) + "\n")  # the logs are not open yet
    # Once, not in supervisor's loop: SIGHUP (the terminal was closed) ends everything in order, without a restart.
    daemon = supervisord.Supervisor(options)
    web = _Web(daemon)
    with contextlib.suppress(asyncore.ExitNow):
        daemon.main()
    options.close_logger()
    log_files.finish()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
    os._exit(0)  # do not let Python flush its files: their disk may be frozen
