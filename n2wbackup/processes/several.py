"""Several processes of one worker, under a parent that starts each again that has ended.

One process takes as many steps at a time as Python's lock allows, which is one. So many runs that are due in the same
second need several processes to begin soon. The parent has loaded what they use and does nothing itself: it opens no
connection, starts no thread, and so may fork at any time.
"""

import gc
import logging
import os
import signal
import time
import traceback
from collections.abc import Callable, Collection
from typing import NoReturn

from n2wbackup.processes import parents, titles

__all__ = ["TITLE", "keep", "share"]

log = logging.getLogger(__name__)
AGAIN_SECONDS = 1.0  # between two starts of the same one
LEAST_EACH = 4
TITLE = "workers "  # of the parent; behind it stand the queue and how many there are
_LOOK_SECONDS = 1.0
_ENDING = frozenset({signal.SIGTERM, signal.SIGINT})
_TAKEN = _ENDING | {signal.SIGCHLD}


def share(threads: int, processes: int) -> int:
    """Return how many threads each process has, so that all have as many as one process would, and each enough."""
    return max(LEAST_EACH, -(-threads // processes)) if processes > 1 else threads


def keep(number: int, queue: str, work: Callable[[], int]) -> int:
    """Have so many processes work, until SIGTERM or SIGINT; each gets the signal, and all have ended on return.

    A process that ends before that is started again at once, unless it has just been started. If this process is
    killed, each of the others is told to stop in order. Only for a process without threads and connections.
    """
    titles.show(f"{TITLE}{queue} {number}")
    # From now on they wait to be fetched: none can come between a look and a wait.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _TAKEN)
    gc.collect()
    gc.freeze()  # a collection in a child would copy what all share
    kept = _Several(number, work, before)
    try:
        while kept.turn():
            kept.hear()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return 0


class _Several:
    """The children by their places; a place has 0 while its child does not run."""

    def __init__(self, number: int, work: Callable[[], int], mask: Collection[int]) -> None:
        self._work, self._mask = work, mask
        self._pids, self._next_at = [0] * number, [0.0] * number
        self._parent, self._ending = os.getpid(), False

    def turn(self) -> bool:
        """Bury who has ended and start who is missing; False when all have ended and none is wanted."""
        for place, pid in enumerate(self._pids):
            if pid and os.waitpid(pid, os.WNOHANG) != (0, 0):
                self._pids[place] = 0
                if not self._ending:
                    self._start(place)
                    log.warning("worker process %s has ended and is started again", pid)
            elif not pid and not self._ending:
                self._start(place)
        return not self._ending or any(self._pids)

    def hear(self) -> None:
        """Wait for a signal, for a moment at most; one that ends us is passed on."""
        heard = signal.sigtimedwait(
            _TAKEN, _LOOK_SECONDS if all(self._pids) else _LOOK_SECONDS / 20
        )
        if heard is None or heard.si_signo not in _ENDING:
            return
        self._ending = True
        for pid in filter(None, self._pids):
            os.kill(pid, heard.si_signo)  # it is ours until we have buried it

    def _start(self, place: int) -> None:
        now = time.monotonic()
        if now < self._next_at[place]:
            return
        self._next_at[place] = now + AGAIN_SECONDS
        try:
            pid = os.fork()
        except OSError:
            log.exception("a worker process could not be started; the others go on")
            return
        if not pid:
            self._become()
        self._pids[place] = pid

    def _become(self) -> NoReturn:
        code = 1
        try:
            if parents.end_with(self._parent, signal.SIGTERM):
                for number in _TAKEN:
                    signal.signal(number, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
                code = self._work()
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 0
        except BaseException:  # noqa: BLE001 - it is told, as Python itself would tell it
            traceback.print_exc()
        finally:
            logging.shutdown()
            os._exit(code)
