"""(m) What a far side takes on its instance while both scripts wait at their gates, under each shell."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import processes
from tests.ground import far_side

REST_SECONDS = 0.5
SILENCE_SECONDS = 600.0  # nobody pings it


@dataclass(frozen=True, slots=True)
class Gate:
    """`processes` and their proportional set sizes together, in bytes; `bare`: what one shell
    that only waits has for itself alone."""

    processes: int
    memory: int
    bare: int


@dataclass(slots=True)
class Measured:
    """By shell."""

    gates: dict[str, Gate] = field(default_factory=dict)


def measure() -> Measured:
    """Arm a far side under each shell."""
    measured = Measured()
    for shell in far_side.SHELLS:
        with tempfile.TemporaryDirectory(prefix="n2wbackup-bench-") as folder:
            path = far_side.commands(Path(folder), shell)
            measured.gates[shell] = _gate(path, Path(folder) / shell / "sh")
    return measured


def _gate(path: str, shell: Path) -> Gate:
    of = far_side.order(silence=SILENCE_SECONDS)
    with _waiting(shell) as bare, far_side.started(path, of) as side:
        side.is_ready()
        time.sleep(REST_SECONDS)
        shown = [processes.memory_bytes(pid) for pid in far_side.members(of, side.process.pid)]
        sizes = [each["Pss"] for each in shown if each]  # one may have ended meanwhile
        return Gate(len(sizes), sum(sizes), processes.memory_bytes(bare)["Private_Dirty"])


@contextmanager
def _waiting(shell: Path) -> Iterator[int]:
    """Yield a shell without a program, that waits for a line."""
    command = [str(shell), "-c", "read -r line; exit"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        time.sleep(REST_SECONDS)
        yield process.pid
        process.kill()
