"""The volley: every CreateSnapshots call of a run, all at once, with nothing left to prepare.

Inside the window: no row, no log line, no file, no lock that others hold. What happened is kept in memory.
"""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Barrier
from typing import Self

from policies.domain.errors import AnswerLostError, BackupError, ThrottledError, UnreachableError
from policies.ports import Cloud, Snapshot
from policies.services.window.preparing import Shot
from scripts_admin.guard import linux

CALL_SECONDS = 10.0
# What must be left of the budget so that a call still makes sense: the thaw comes first.
RESERVE_SECONDS = 2.0
RETRY_PAUSE_SECONDS = 0.5
START_SECONDS = 10.0  # for the threads to stand ready; past it the run is not begun
MAX_RETRIES = 2  # of calls that AWS did not take: the application is frozen all the while


@dataclass(slots=True)
class Fired:
    """What became of one call. Times are seconds since boot and UNIX seconds; `lost`: it may have been done."""

    shot: Shot
    snapshots: list[Snapshot] = field(default_factory=list)
    problem: str = ""
    lost: bool = False
    returned_boot: float = 0.0
    returned_at: float = 0.0


class Volley:
    """Threads that stand ready for the calls of one run. Use as a context manager."""

    def __init__(self, cloud: Cloud, shots: Sequence[Shot]) -> None:
        """Start a thread for each call but the first, which needs none; they wait."""
        self._cloud, self._shots = cloud, list(shots)
        self.fired: list[Fired] | None = None
        extra = max(0, len(self._shots) - 1)
        self._pool = ThreadPoolExecutor(extra, "fire") if extra else None
        if self._pool:
            barrier = Barrier(extra + 1, timeout=START_SECONDS)
            for _ in range(extra):
                self._pool.submit(barrier.wait)
            barrier.wait()

    def __enter__(self) -> Self:
        """Return the volley."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let the threads go; one that still waits for AWS is not waited for."""
        if self._pool:
            self._pool.shutdown(wait=False)

    def fire(self, until: float) -> list[Fired]:
        """Make all calls, and return when each has its answer or `until` (seconds since boot) has passed.

        Never raises for AWS, and never makes the calls twice.
        """
        if self.fired is not None:
            return self.fired
        first, rest = self._shots[:1], self._shots[1:]
        results = [
            Fired(shot, problem="The call got no answer in time.", lost=True) for shot in rest
        ]
        futures: list[Future[Fired]] = [
            self._pool.submit(self._call, shot, until) for shot in rest if self._pool
        ]
        self.fired = [self._call(shot, until) for shot in first]
        wait(futures, timeout=max(0.0, until - linux.boottime()))
        for number, future in enumerate(futures):
            if future.done():
                results[number] = future.result()
        self.fired += results
        return self.fired

    def _call(self, shot: Shot, until: float) -> Fired:
        fired = Fired(shot)
        retries = 0
        while True:
            left = until - linux.boottime()
            if left <= 0:
                fired.problem = fired.problem or "No time was left in the window for the call."
                return fired
            try:
                fired.snapshots = self._cloud.fire(shot.request, min(CALL_SECONDS, left))
                fired.problem = ""
            except AnswerLostError as error:
                fired.problem, fired.lost = str(error), True
            except (ThrottledError, UnreachableError) as error:
                # AWS did nothing, so asking again is no second deed.
                fired.problem = str(error)
                enough = until - linux.boottime() > RESERVE_SECONDS + RETRY_PAUSE_SECONDS
                if enough and retries < MAX_RETRIES:
                    retries += 1
                    time.sleep(RETRY_PAUSE_SECONDS)
                    continue
            except BackupError as error:
                fired.problem = str(error)
            except Exception as error:  # noqa: BLE001 - nothing may keep the thaw from coming
                fired.problem, fired.lost = f"The call failed: {type(error).__name__}.", True
            fired.returned_boot, fired.returned_at = linux.boottime(), time.time()
            return fired
