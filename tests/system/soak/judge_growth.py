"""What must not grow: rows that are no history, and what a process holds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

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


@dataclass(frozen=True, slots=True)
class Limits:
    """How a stretch is looked at: from `warm_seconds` of its life on, `part_seconds` at each end are compared.

    By then every thread of a worker has had its first run, with its client of AWS and its connections. What
    Python's allocator keeps back is no leak, but it is bounded: `share` and `bytes` are for it.
    """

    warm_seconds: float
    part_seconds: float
    share: float
    bytes: int
    descriptors: int


LONG = Limits(warm_seconds=90, part_seconds=60, share=0.05, bytes=4 * MIB, descriptors=3)
# Two minutes hold two rounds of runs: what grows now may well be warmth.
SHORT = Limits(warm_seconds=30, part_seconds=15, share=0.25, bytes=16 * MIB, descriptors=24)


@dataclass(frozen=True, slots=True)
class Growth:
    """What a process held when it was warm, and at its end: memory in bytes, and descriptors."""

    kind: str
    seconds: float
    memory: tuple[float, float]
    descriptors: tuple[int, int]


def limits(*, is_short: bool) -> Limits:
    """Return what holds for a soak."""
    return SHORT if is_short else LONG


def growth(stretch: Stretch, found: Limits) -> Growth | None:
    """Return how a process has grown; None where it did not live for long enough to tell."""
    if not stretch.samples:
        return None
    first, last = stretch.samples[0].at + found.warm_seconds, stretch.samples[-1].at
    warm = [s for s in stretch.samples if first <= s.at < first + found.part_seconds]
    end = [s for s in stretch.samples if s.at > last - found.part_seconds]
    if not warm or last - found.part_seconds < first + found.part_seconds:
        return None
    return Growth(
        stretch.kind,
        last - stretch.samples[0].at,
        (_memory(warm), _memory(end)),
        (_descriptors(warm), _descriptors(end)),
    )


def _memory(samples: Sequence[Sample]) -> float:
    return median(sample.memory for sample in samples)


def _descriptors(samples: Sequence[Sample]) -> int:
    """Return the least, which is what it holds at rest."""
    return min(sample.descriptors for sample in samples)


def stretches(found: Sequence[Stretch], *, is_short: bool) -> Iterator[str]:
    """Yield what has grown beyond the limits."""
    allowed = limits(is_short=is_short)
    for one in filter(None, (growth(stretch, allowed) for stretch in found)):
        (warm, end), (few, many) = one.memory, one.descriptors
        if end > warm * (1 + allowed.share) + allowed.bytes:
            yield (
                f"{one.kind}: private memory grew from {warm / MIB:.1f} to {end / MIB:.1f} MiB in "
                f"{one.seconds:.0f} s"
            )
        if many > few + allowed.descriptors:
            yield f"{one.kind}: descriptors grew from {few} to {many} in {one.seconds:.0f} s"


def tables(found: Mapping[str, tuple[int, int]], policies: int) -> Iterator[str]:
    """Yield the tables that have more rows than they should. Each volume has its last fire, and AWS one bucket."""
    most = {"policies_volumefire": policies * VOLUMES, "policies_firepermits": 1}
    for name, (before, after) in found.items():
        if name not in HISTORY and after > most.get(name, before):
            yield f"{name} had {before} rows and has {after}"
