"""The process that restarts all others: `python -m n2wbackup.processes.supervise LOCK CONF`.

It is supervisor's own daemon with four changes: it looks for dead children twenty times a second, a
child can be ended from its first moment, it never waits for the disk of its logs, and it holds the
lock of `N2W_HOME` (the open descriptor LOCK) as long as it lives. No Django here: this process must
not fail.
"""

import os
import signal
import sys
from typing import Any

from setproctitle import setproctitle
from supervisor import supervisord
from supervisor.options import ServerOptions

from n2wbackup.processes import log_files, serve_lock

# A dead child is noticed when its output ends, or by polling if a grandchild keeps the output open.
_LOOK_SECONDS = 0.05
_TAKEN = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


class _Options(ServerOptions):  # type: ignore[misc] # supervisor has no annotations
    """Supervisor's options, with a poller that never sleeps long and a fork that loses no signal."""

    def __init__(self) -> None:
        super().__init__()
        poll = self.poller.poll
        self.poller.poll = lambda timeout: poll(min(timeout, _LOOK_SECONDS))

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


def main(lock: int, conf: str) -> None:
    """Run every program of `conf` until SIGTERM, SIGINT or SIGHUP, and return when all have ended.

    Groups are stopped one after another, the highest priority first; the programs of a group at
    once.
    """
    os.set_inheritable(lock, False)  # noqa: FBT003 - Python's own signature
    serve_lock.sign(lock)
    setproctitle("n2wbackup serve")
    log_files.install()
    options: Any = _Options()
    options.realize(["--nodaemon", "--configuration", conf])
    options.first = True
    options.test = False
    # Once, not in supervisor's loop: SIGHUP (the terminal was closed) ends everything in order, without a restart.
    supervisord.go(options)
    options.close_logger()
    log_files.finish()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
    os._exit(0)  # do not let Python flush its files: their disk may be frozen
