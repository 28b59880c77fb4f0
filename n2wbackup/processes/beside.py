"""A child process for work that may hang, beside a process that must not hang.

A thread would not be enough: a thread that waits for a frozen disk keeps its whole process from dying. Then nobody
notices that the process was killed, and nobody starts the next one.
"""

import logging
import os
import signal
import time
from collections.abc import Callable
from typing import NoReturn

from n2wbackup.processes import parents, titles

__all__ = ["Beside"]

log = logging.getLogger(__name__)
AGAIN_SECONDS = 1.0  # between two starts
_LOOK_SECONDS = 0.05


class Beside:
    """A child that works for ever; it is killed with this process, and started again when it has ended.

    Only for a process that has no thread and no connection to a database when it calls `keep`.
    """

    def __init__(self, role: str, work: Callable[[], None]) -> None:
        """`role` is the child's name in `ps`. Nothing is started yet."""
        self._role, self._work = role, work
        self._pid = 0
        self._next_at = 0.0

    def keep(self) -> None:
        """Start the child if there is none. Never waits, even if the child was killed and cannot die yet."""
        if self._pid and os.waitpid(self._pid, os.WNOHANG) != (0, 0):
            log.warning("the %s has ended and is started again", self._role)
            self._pid = 0
        now = time.monotonic()
        if self._pid or now < self._next_at:
            return
        self._next_at = now + AGAIN_SECONDS
        parent = os.getpid()
        self._pid = os.fork()
        if not self._pid:
            self._become(parent)

    def end(self, seconds: float) -> None:
        """Ask the child to end, and wait so long at most; it is killed with this process anyway."""
        if not self._pid:
            return
        os.kill(self._pid, signal.SIGTERM)
        until = time.monotonic() + seconds
        while os.waitpid(self._pid, os.WNOHANG) == (0, 0) and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)

    def _become(self, parent: int) -> NoReturn:
        try:
            if parents.end_with(parent, signal.SIGKILL):
                titles.show(self._role)
                self._work()
        except BaseException:
            log.exception("the %s has failed", self._role)
        finally:
            os._exit(1)
