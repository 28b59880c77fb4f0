"""(c) The hold of single runs during a hundred other runs, through the server's own processes."""

import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.contestants import Warm
from tests.bench.scripts import Stamps
from tests.bench.served import Served, serving
from tests.ground.processes import wait_until

VOLUMES = 4
BEFORE_SECONDS = 2  # duration of before in the other runs: a flush, or a wait for a lock
PENDING_SECONDS = 86_400  # the bench itself ends the snapshots of the runs that have waited longest
REST_SECONDS = 0.1
THAW_SECONDS = 60.0
SPARE = 60  # more policies than runs: some are at complete or have just ended
OTHERS, OURS = "others", "bench"


@dataclass(frozen=True, slots=True)
class Size:
    """The number of measured runs, and the numbers of other runs that wait and that move meanwhile."""

    turns: int
    waiting: int
    moving: int


@dataclass(slots=True)
class Measured:
    """Holds as the scripts measured them, and the simulated AWS's time for their calls; in seconds.

    `waiting` and `moving`: the numbers of other runs, counted ten times a second.
    """

    size: Size
    holds: list[float] = field(default_factory=list)
    services: list[float] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    moving: list[int] = field(default_factory=list)
    cpu_share: float = 0.0

    @property
    def net(self) -> list[float]:
        """Return the holds less the service times."""
        return [hold - took for hold, took in zip(self.holds, self.services, strict=True)]


def measure(size: Size) -> Measured:
    """Start the crowd, and measure within it."""
    measured = Measured(size)
    with (
        tempfile.TemporaryDirectory(prefix="n2w-", dir="/dev/shm") as memory,
        serving(pending_seconds=PENDING_SECONDS) as served,
    ):
        names = [f"one{number}" for number in range(size.turns)]
        stamps = {name: Stamps(Path(memory), f"-{name}") for name in names}
        instances = served.enter(OURS, names, VOLUMES)
        for name in names:
            stamps[name].write_scripts(served.home / "scripts" / OURS, name)
        served.start()
        with _crowd(served, measured) as alive:
            began, used = time.monotonic(), served.cpu_seconds()
            for name in names:
                served.order("start", names=[name])
                wait_until(stamps[name].complete, seconds=THAW_SECONDS, what=f"{name}'s thaw")
                measured.holds.append(stamps[name].hold_seconds())
                alive()
                time.sleep(REST_SECONDS)
            measured.cpu_share = (served.cpu_seconds() - used) / (time.monotonic() - began)
        took = {
            call.parameters["InstanceSpecification.InstanceId"]: call.service_seconds
            for call in served.aws.calls("CreateSnapshots")
            if not call.dry_run
        }
        measured.services = [took[instances[name]] for name in names]
    return measured


@contextmanager
def _crowd(served: Served, measured: Measured) -> Iterator["_Alive"]:
    """Keep the other runs going; yields a function that raises if they have stopped."""
    size = measured.size
    names = [f"other{number}" for number in range(size.waiting + size.moving + SPARE)]
    served.enter(OTHERS, names, VOLUMES)
    for name in names:
        for phase, body in (
            ("before", f"sleep {BEFORE_SECONDS}"),
            ("after", ":"),
            ("complete", ":"),
        ):
            served.script(OTHERS, f"{phase}_{name}.sh", f"#!/bin/bash\n{body}\n")
    over = threading.Event()
    with (
        Warm("tests.bench.office", [], served.environment, served.home / "crowd.log") as office,
        ThreadPoolExecutor(1, "crowd") as pool,
    ):
        crowd = pool.submit(_keep, served, office, names, measured, over)
        alive = _Alive(crowd)
        try:
            wait_until(
                lambda: alive() and measured.waiting[-1:] >= [size.waiting],
                seconds=THAW_SECONDS * 3,
                what="the crowd",
            )
            measured.waiting.clear()
            measured.moving.clear()
            yield alive
        finally:
            over.set()


class _Alive:
    def __init__(self, crowd: "Future[None]") -> None:
        self._crowd = crowd

    def __call__(self) -> bool:
        if self._crowd.done():
            self._crowd.result()
        return not self._crowd.done()


def _keep(
    served: Served, office: Warm, names: list[str], measured: Measured, over: threading.Event
) -> None:
    size = measured.size
    while not over.wait(REST_SECONDS):
        seen = office.order(
            {"do": "crowd", "names": names, "waiting": size.waiting, "moving": size.moving}
        )
        measured.waiting.append(seen["waiting"])
        measured.moving.append(seen["moving"])
        if seen["settle"]:
            served.aws.settle_snapshots("completed", seen["settle"])
