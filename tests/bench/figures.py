"""Statistics of a row of measurements: medians, quartiles, p95, and the confidence of a ratio."""

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

DRAWS = 2000
LOWER_QUARTILE, MEDIAN, UPPER_QUARTILE, P95 = 4, 9, 14, 18  # among the 19 cuts of 20 equal parts


@dataclass(frozen=True, slots=True)
class Spread:
    """The summary of a row of measurements; all but `rounds` are in the unit of the values."""

    rounds: int
    median: float
    lower_quartile: float
    upper_quartile: float
    p95: float


def spread(values: Sequence[float]) -> Spread:
    """Summarise at least two values."""
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return Spread(len(values), cuts[MEDIAN], cuts[LOWER_QUARTILE], cuts[UPPER_QUARTILE], cuts[P95])


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of two medians, and its 95 % interval."""

    value: float
    low: float
    high: float


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def p95(values: Sequence[float]) -> float:
    return spread(values).p95


def interval(
    values: Sequence[float], of: Callable[[Sequence[float]], float] = median
) -> tuple[float, float]:
    """Return the 95 % interval of a figure of the row; it is bootstrapped, the same for the same row."""
    chance = random.Random(0)
    return _middle([of(chance.choices(values, k=len(values))) for _ in range(DRAWS)])


def ratio(
    above: Sequence[float],
    below: Sequence[float],
    of: Callable[[Sequence[float]], float] = median,
) -> Ratio:
    """Compare two rows by their medians or another figure; the interval is as that of `interval`."""
    chance = random.Random(0)
    low, high = _middle(
        [
            of(chance.choices(above, k=len(above))) / of(chance.choices(below, k=len(below)))
            for _ in range(DRAWS)
        ]
    )
    return Ratio(of(above) / of(below), low, high)


def _middle(drawn: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(drawn)
    return ordered[DRAWS * 25 // 1000], ordered[DRAWS * 975 // 1000]


@dataclass(frozen=True, slots=True)
class Polls:
    """Polls of pending snapshots: each poll asked for `asked` snapshots in `calls` calls."""

    polls: Sequence[tuple[int, int]]
    batch: int = 200

    @property
    def calls(self) -> int:
        return sum(calls for _, calls in self.polls)

    @property
    def worst_excess(self) -> int:
        """Return how many calls the worst poll made beyond one per full or partial batch; 0 or less means none."""
        return max(
            (calls - math.ceil(asked / self.batch) for asked, calls in self.polls), default=0
        )
