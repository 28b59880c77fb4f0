"""Statistics of a row of measurements: medians, quartiles, p95, and the confidence of a ratio."""

import math
import random
import statistics
from collections.abc import Sequence
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


def ratio(above: Sequence[float], below: Sequence[float]) -> Ratio:
    """Compare two rows by their medians; the interval is bootstrapped, the same for the same rows."""
    chance = random.Random(0)
    drawn = sorted(
        statistics.median(chance.choices(above, k=len(above)))
        / statistics.median(chance.choices(below, k=len(below)))
        for _ in range(DRAWS)
    )
    value = statistics.median(above) / statistics.median(below)
    return Ratio(value, drawn[DRAWS * 25 // 1000], drawn[DRAWS * 975 // 1000])


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
