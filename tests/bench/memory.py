"""(f) The memory of a window, and of the whole server while it is idle."""

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.bench import processes
from tests.bench.contestants import PROJECT
from tests.bench.served import serving

SETTLE_SECONDS = 15.0  # for the first ticks and polls, which load code; each look is so much later
LOOKS = 5


@dataclass(slots=True)
class Measured:
    """In bytes. `gates`, `held`: private, of each window. `growth`: of all memory, for each window.

    `idle`: proportional, of an idle server, by kind of process; `totals`: of all of it, each time.
    """

    gates: list[int] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    growth: float = 0.0
    idle: dict[str, int] = field(default_factory=dict)
    totals: list[int] = field(default_factory=list)


def measure(number: int) -> Measured:
    """Measure this many windows that are open at the same time, then a server that has just started."""
    measured = Measured()
    with tempfile.TemporaryDirectory(prefix="n2w-", dir="/dev/shm") as folder:
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.windows", folder, str(number)],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        told = json.loads(done.stdout)
        measured.gates, measured.held, measured.growth = told["gates"], told["held"], told["growth"]
    with serving(pending_seconds=1) as served:
        served.start()
        for _ in range(LOOKS):
            time.sleep(SETTLE_SECONDS)
            measured.idle = _by_kind(served.tree())
            measured.totals.append(sum(measured.idle.values()))
    return measured


def _by_kind(pids: list[int]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for pid in pids:
        kind = processes.kind(pid)
        name = "parents of guards" if kind == "guards and scripts" else kind
        found[name] += processes.memory_bytes(pid).get("Pss", 0)
    return dict(found)
