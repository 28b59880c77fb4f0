"""What kept snapshots cost: an estimate from the sizes of their increments. Pure.

AWS stores a block once, however many snapshots of a volume have it. So the oldest kept snapshot of a volume counts
with all blocks that are written, and each later one with those that changed since the kept one before it. Blocks that
changed several times between two kept snapshots are counted each time, up to the whole: the estimate is rather high.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

from policies.domain.costs.prices import Prices

BLOCK_GIB = 1 / 2_048  # 512 KiB
UNKNOWN = -1


class Sized(NamedTuple):
    """A snapshot. `blocks`: all that are written; `changed`: since the one before; UNKNOWN: nobody has counted."""

    point: str  # the key of its restore point
    volume: str
    region: str
    at: datetime
    blocks: int = UNKNOWN
    changed: int = UNKNOWN


class Bill(NamedTuple):
    """A month of what is kept. `unmeasured` snapshots are in none of the numbers."""

    gib: float
    month: float
    snapshots: int
    unmeasured: int

    def plus(self, other: "Bill") -> "Bill":
        return Bill(
            self.gib + other.gib,
            self.month + other.month,
            self.snapshots + other.snapshots,
            self.unmeasured + other.unmeasured,
        )


NOTHING = Bill(0.0, 0.0, 0, 0)


def of(snapshots: Iterable[Sized], prices: Prices, kept: Collection[str] | None = None) -> Bill:
    """Return the bill of the snapshots, or of those that belong to the kept restore points."""
    chains: defaultdict[tuple[str, str], list[Sized]] = defaultdict(list)
    for one in snapshots:
        chains[one.region, one.volume].append(one)
    total = NOTHING
    for (region, _), chain in chains.items():
        ordered = sorted(chain, key=lambda one: (one.at, one.point))
        blocks, number, unmeasured = _stored(ordered, kept)
        gib = blocks * BLOCK_GIB
        total = total.plus(Bill(gib, gib * prices.of(region), number, unmeasured))
    return total


def _stored(chain: Sequence[Sized], kept: Collection[str] | None) -> tuple[int, int, int]:
    """Return how many blocks the kept snapshots of a volume store, their number, and that of the unmeasured ones."""
    blocks = number = unmeasured = since = 0
    is_first = True
    for one in chain:
        since += max(0, one.changed)
        if kept is not None and one.point not in kept:
            continue
        number += 1
        if one.blocks == UNKNOWN:
            unmeasured += 1
            continue
        blocks += one.blocks if is_first else min(one.blocks, since)
        is_first, since = False, 0
    return blocks, number, unmeasured


def trend(days: Mapping[date, float]) -> float | None:
    """Return by how much the last value is above the first, as a share; None if nobody can say."""
    values = list(days.values())
    if len(values) < 2 or not values[0]:  # noqa: PLR2004 - of one value nobody sees a trend
        return None
    return values[-1] / values[0] - 1
