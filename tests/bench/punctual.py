"""(n) From due to before's start, of many policies due in the same second, by the number of freeze processes."""

from dataclasses import dataclass, field

from tests.bench import flood, processes
from tests.bench.served import Served, serving
from tests.ground.processes import wait_until

FREEZER = "n2wbackup worker freeze"
PROCESSES = (1, 2)
BEGUN_SECONDS = 120.0
PENDING_SECONDS = 1.0


@dataclass(slots=True)
class Measured:
    """By the number of processes: seconds from due to before's start of each run, and what one more weighs, in bytes.

    `load`: of the machine just before, over one minute.
    """

    policies: int
    late: dict[int, list[float]] = field(default_factory=dict)
    memory: dict[int, int] = field(
        default_factory=dict
    )  # of all freeze processes and what they need, idle
    cpu: dict[int, float] = field(
        default_factory=dict
    )  # CPU seconds of the whole server until the last has begun
    load: dict[int, float] = field(default_factory=dict)


def measure(policies: int) -> Measured:
    """Make all policies due at once, on one server after another that differ in this number alone."""
    measured = Measured(policies)
    for number in PROCESSES:
        _measure(measured, number)
    return measured


def _measure(measured: Measured, number: int) -> None:
    size = flood.Size(policies=measured.policies, scripts=0, pending_seconds=PENDING_SECONDS)
    with serving(pending_seconds=PENDING_SECONDS) as served:
        served.environment["N2W_FREEZE_PROCESSES"] = str(number)
        owners = flood.enter(served, size)
        served.start()
        wait_until(
            lambda: len(_freezers(served)) == number, seconds=60, what="the freeze processes"
        )
        flood.warm_up(served)
        measured.memory[number] = _weight(served)
        measured.load[number] = processes.load()
        before = served.cpu_seconds()
        due_at = served.order("make_due", owners=owners)["at"]
        wait_until(
            lambda: len(_begun(served, owners)) == measured.policies,
            seconds=BEGUN_SECONDS,
            what="the begins of all runs",
            pause=0.5,
        )
        measured.cpu[number] = served.cpu_seconds() - before
        measured.late[number] = [at - due_at for at in _begun(served, owners)]


def _begun(served: Served, owners: list[str]) -> list[float]:
    found: list[float] = served.order("begun", owners=owners)["at"]
    return found


def _freezers(served: Served) -> list[int]:
    return [pid for pid in served.tree() if processes.title(pid).startswith(FREEZER)]


def _weight(served: Served) -> int:
    """Return the proportional memory of the freeze processes, their parent and their guards' parents."""
    freezers = _freezers(served)
    parents = [pid for pid in served.tree() if processes.title(pid).startswith("n2wbackup workers")]
    below = [each for pid in freezers for each in processes.tree(pid)]
    return sum(processes.memory_bytes(pid).get("Pss", 0) for pid in {*parents, *below})
