"""Simulated AWSs that are used one after another: to start one takes two seconds of the processor."""

import atexit
import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from n2wbackup.demo.aws import SimulatedAws, SimulatorError


def _network() -> int:
    """Return which network this thread is in."""
    return Path("/proc/thread-self/ns/net").stat().st_ino


_OURS = _network()
_taking = threading.Lock()
_idle: defaultdict[float, list[SimulatedAws]] = defaultdict(list)
_kept = contextlib.ExitStack()
atexit.register(_kept.close)


@contextlib.contextmanager
def aws(pending_seconds: float = 1) -> Iterator[SimulatedAws]:
    """Give a simulated AWS as new, which spares no volume. What it copies stays until the tests end.

    In a network of a thread's own nobody else can reach it, so it ends with the block.
    """
    if _network() != _OURS:
        with _started(pending_seconds) as found:
            yield found
        return
    with _taking:
        found = _idle[pending_seconds].pop() if _idle[pending_seconds] else _start(pending_seconds)
    yield found
    with contextlib.suppress(SimulatorError, OSError):  # one that is broken is used no more
        found.reset()
        with _taking:
            _idle[pending_seconds].append(found)


def _start(pending_seconds: float) -> SimulatedAws:
    return _kept.enter_context(_started(pending_seconds))


@contextlib.contextmanager
def _started(pending_seconds: float) -> Iterator[SimulatedAws]:
    with (
        TemporaryDirectory(prefix="n2wbackup-aws-") as folder,
        SimulatedAws(
            Path(folder), pending_seconds=pending_seconds, per_volume_interval_seconds=0
        ) as made,
    ):
        yield made
