"""The volley: every CreateSnapshots call of a run, all at once, with nothing left to prepare.

Inside the window it uses no row, no log line, no file and no lock that others hold. The calls are built and signed
before it; the answers stay in memory, and are read after it.
"""

import time
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Barrier
from typing import Self

from policies.domain.errors import AnswerLostError, BackupError, ThrottledError, UnreachableError
from policies.ports import Aimed, Answer, Cloud, Snapshot
from policies.services.window.preparing import Shot
from scripts_admin.guard import linux

CALL_SECONDS = 10.0
# The least time that must be left for another attempt: the thaw comes first.
RESERVE_SECONDS = 2.0
RETRY_PAUSE_SECONDS = 0.5
START_SECONDS = 10.0  # for the threads to be ready; after this the run does not begin
MAX_RETRIES = 2  # of calls that AWS did not accept: the application stays frozen meanwhile


@dataclass(slots=True)
class Fired:
    """The result of one call. Times are seconds since boot and UNIX seconds.

    `lost`: no answer came, and AWS may have created the snapshots. `answer`: it came, and is not read yet.
    """

    shot: Shot
    answer: Answer | None = None
    snapshots: list[Snapshot] = field(default_factory=list)
    problem: str = ""
    lost: bool = False
    returned_boot: float = 0.0
    returned_at: float = 0.0

    def read(self) -> None:
        """Read the answer. Where that fails, AWS has acted all the same: the snapshots' tags have to tell."""
        answer, self.answer = self.answer, None
        if answer is None:
            return
        try:
            self.snapshots = answer()
        except BackupError as error:
            self.problem, self.lost = str(error), True
        except Exception as error:  # noqa: BLE001 - what the other calls made must be entered
            self.problem, self.lost = _failed(error), True


def _failed(error: Exception) -> str:
    return f"The call failed: {type(error).__name__}."


class Volley:
    """Threads that are ready for the calls of one run. Use as a context manager."""

    def __init__(self, cloud: Cloud, shots: Sequence[Shot]) -> None:
        """Start a waiting thread for each call but the first, which needs none."""
        self._cloud, self._shots = cloud, list(shots)
        self._aimed: list[Aimed | None] = [None] * len(self._shots)
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
        """Release the threads, without waiting for one that still waits for AWS."""
        if self._pool:
            self._pool.shutdown(wait=False)

    def aim(self) -> None:
        """Build and sign the calls, right before the window. What fails now is told by the call itself."""
        for number, shot in enumerate(self._shots):
            with suppress(BackupError):
                self._aimed[number] = self._cloud.aim(shot.request)

    def fire(self, until: float, without: Collection[str] = ()) -> list[Fired]:
        """Make all calls; return when each has its answer, or at `until` (seconds since boot).

        Never raises an error of AWS, and never makes the calls twice. `without`: the instances that are left out.
        """
        if self.fired is not None:
            return self.fired
        ready = [
            (shot, aimed)
            for shot, aimed in zip(self._shots, self._aimed, strict=True)
            if shot.request.instance_id not in without
        ]
        first, rest = ready[:1], ready[1:]
        results = [
            Fired(shot, problem="The call got no answer in time.", lost=True) for shot, _ in rest
        ]
        futures: list[Future[Fired]] = [
            self._pool.submit(self._call, *each, until) for each in rest if self._pool
        ]
        self.fired = [self._call(*each, until) for each in first]
        wait(futures, timeout=max(0.0, until - linux.boottime()))
        for number, future in enumerate(futures):
            if future.done():
                results[number] = future.result()
        self.fired += results
        return self.fired

    def read(self) -> list[Fired]:
        """Return what was fired, with all answers read; after the thaw."""
        for each in self.fired or []:
            each.read()
        return self.fired or []

    def _call(self, shot: Shot, aimed: Aimed | None, until: float) -> Fired:
        fired = Fired(shot)
        retries = 0
        while True:
            left = until - linux.boottime()
            if left <= 0:
                fired.problem = fired.problem or "No time was left in the window for the call."
                return fired
            try:
                send = aimed or self._cloud.aim(shot.request)
                fired.answer = send(min(CALL_SECONDS, left))
                fired.problem = ""
            except AnswerLostError as error:
                fired.problem, fired.lost = str(error), True
            except (ThrottledError, UnreachableError) as error:
                # AWS did nothing, so a repeated call cannot create a second snapshot.
                fired.problem = str(error)
                enough = until - linux.boottime() > RESERVE_SECONDS + RETRY_PAUSE_SECONDS
                if enough and retries < MAX_RETRIES:
                    retries += 1
                    time.sleep(RETRY_PAUSE_SECONDS)
                    continue
            except BackupError as error:
                fired.problem = str(error)
            except Exception as error:  # noqa: BLE001 - no error may prevent the thaw
                fired.problem, fired.lost = _failed(error), True
            fired.returned_boot, fired.returned_at = linux.boottime(), time.time()
            return fired
