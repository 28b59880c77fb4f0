"""Which restore points the rules keep, as Proxmox Backup Server reads them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from policies.domain.retention.points import Point
from policies.domain.retention.rules import Periods, Rules, Unit


class Rank(NamedTuple):
    """The rule that keeps a restore point, and its place among those that the rule keeps: 1 is the newest."""

    unit: Unit
    place: int
    of: int

    @property
    def in_words(self) -> str:
        return f"{self.unit} {self.place} of {self.of}"


Marks = dict[str, Rank | None]  # by key; None: another one of its period is kept


def choose(
    newest_first: Sequence[Point], kept: Rules, when: Mapping[str, Periods]
) -> Mapping[str, Rank]:
    """Return what the rules keep.

    They are applied in order. Each covers only periods in which no rule before it keeps anything, and a period
    without a restore point does not count. Of a period, the one of greatest worth is kept.
    """
    marks: Marks = {}
    for unit, number in kept.in_order:
        if unit in {Unit.GENERATION, Unit.LAST}:
            for place, point in enumerate(newest_first[:number], 1):
                marks[point.key] = Rank(unit, place, number)
        else:
            _cover(newest_first, unit, number, when, marks)
    return {key: rank for key, rank in marks.items() if rank is not None}


def _cover(
    newest_first: Iterable[Point],
    unit: Unit,
    number: int,
    when: Mapping[str, Periods],
    marks: Marks,
) -> None:
    covered = {when[key].of(unit) for key, rank in marks.items() if rank is not None}
    found: dict[int, list[Point]] = {}
    for point in newest_first:
        period = when[point.key].of(unit)
        if point.key in marks or period in covered:
            continue
        if period not in found and len(found) == number:
            break
        found.setdefault(period, []).append(point)
    for place, same in enumerate(found.values(), 1):
        best = max(same, key=lambda point: point.worth)
        marks |= {point.key: None for point in same}
        marks[best.key] = Rank(unit, place, number)
