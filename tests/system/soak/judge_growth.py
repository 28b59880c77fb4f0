"""What must not grow: rows that are no history, and what a process holds."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from policies.domain.runs import sequence
from tests.system.soak.estate import VOLUMES
from tests.system.soak.watching import Sample, Stretch

MIB = 2**20
# These are the history: as many as there were runs and alarms.
HISTORY = frozenset(
    {
        "policies_run",
        "policies_runtarget",
        "policies_runsnapshot",
        "policies_runevent",
        "policies_phaseresult",
        "policies_dailycount",
        "policies_alarm",
        "policies_alarmdelivery",
    }
)


MINUTE = 60.0
ROUND_SECONDS = 45.0  # of a minute: by then everything that was due in it has used what it needs


@dataclass(frozen=True, slots=True)
class Limits:
    """How a process is looked at: warm after so many rounds of runs, `part_seconds` there and at its end are compared.

    By then every thread of a worker has had its first run, with its client of AWS and its connections. What
    Python's allocator keeps back is no leak, but it is bounded: `share` and `bytes` are for it. `descriptors`
    are for a connection that is opened at the first need, such as the watchdog's to the broker; a worker keeps
    the last guard's of each thread, two pipes and a socket, until its next one.
    """

    rounds: int
    part_seconds: float
    share: float
    bytes: int
    descriptors: int
    of_threads: Mapping[str, int]


LONG = Limits(
    rounds=2,
    part_seconds=60,
    share=0.05,
    bytes=4 * MIB,
    descriptors=8,
    of_threads={"worker freeze": 3 * 16, "worker work": 3 * 8},
)
# Two minutes hold two rounds of runs, and not every run takes place: what grows may well be warmth. Only what
# no warmth explains is found here.
SHORT = Limits(rounds=1, part_seconds=15, share=0.0, bytes=96 * MIB, descriptors=128, of_threads={})


@dataclass(frozen=True, slots=True)
class Growth:
    """What a process held when it was warm, and at its end: memory in bytes, and descriptors."""

    kind: str
    seconds: float
    memory: tuple[float, float]
    descriptors: tuple[int, int]


def growth(stretch: Stretch, due: tuple[float, float], found: Limits) -> Growth | None:
    """Return how a process has grown; None where it did not live for long enough to tell.

    `due`: the first and the last minute in which its runs count.
    """
    if not stretch.samples:
        return None
    born, last = stretch.samples[0].at, stretch.samples[-1].at
    rounds = max(0.0, math.ceil((born - due[0]) / MINUTE)) + found.rounds - 1
    first = due[0] + rounds * MINUTE + ROUND_SECONDS
    warm = [s for s in stretch.samples if first <= s.at < first + found.part_seconds]
    end = [s for s in stretch.samples if s.at > last - found.part_seconds]
    has_worked = due[0] + rounds * MINUTE <= due[1]
    if not (warm and has_worked) or last - found.part_seconds < first + found.part_seconds:
        return None
    return Growth(
        stretch.kind,
        last - born,
        (_memory(warm), _memory(end)),
        (_descriptors(warm), _descriptors(end)),
    )


def _memory(samples: Sequence[Sample]) -> float:
    return median(sample.memory for sample in samples)


def _descriptors(samples: Sequence[Sample]) -> int:
    """Return the least, which is what it holds at rest."""
    return min(sample.descriptors for sample in samples)


def judge(found: Sequence[Stretch], due: tuple[float, float], allowed: Limits) -> Iterator[str]:
    """Yield what has grown beyond the limits."""
    for one in filter(None, (growth(stretch, due, allowed) for stretch in found)):
        (warm, end), (few, many) = one.memory, one.descriptors
        if end > warm * (1 + allowed.share) + allowed.bytes:
            yield (
                f"{one.kind}: its memory grew from {warm / MIB:.1f} to {end / MIB:.1f} MiB in "
                f"{one.seconds:.0f} s"
            )
        if many > few + allowed.descriptors + allowed.of_threads.get(one.kind, 0):
            yield f"{one.kind}: descriptors grew from {few} to {many} in {one.seconds:.0f} s"


def tables(found: Mapping[str, tuple[int, int]], policies: int) -> Iterator[str]:
    """Yield the tables that have more rows than they should. Each volume has its last fire, and AWS one bucket."""
    most = {"policies_volumefire": policies * VOLUMES, "policies_firepermits": 1}
    most |= {"policies_server": 1, "policies_turn": 9}  # the ticks of which several beats take one
    # Each policy may be drilled once.
    most |= dict.fromkeys(("policies_trial", "policies_trialresult"), policies)
    # What AWS has: an instance with its volumes for each policy, and one more.
    most |= {"policies_inventoryitem": (policies + 1) * (1 + VOLUMES)}
    most |= {"policies_description": policies}  # one instance each, which never changes
    # The sums of a day that ended meanwhile: of each end that a run can have, for the one owner and for all.
    most |= {"policies_dailysum": 2 * len(sequence.ENDS)}
    # Three scripts each, which nobody changes.
    most |= dict.fromkeys(("scripts_admin_scripttext", "scripts_admin_scriptversion"), policies * 3)
    for name, (before, after) in found.items():
        if name not in HISTORY and after > most.get(name, before):
            yield f"{name} had {before} rows and has {after}"
