"""A row of the page's first table: the figure as a number for later comparisons, and as people read it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.bench import figures
from tests.bench.figures import Ratio


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, and between which two it is sure to lie; both None if it was measured once."""

    value: float
    unit: str
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Goal:
    """`goal` is empty where none is set. Rows of the same part and name are compared between two runs of the bench."""

    part: str
    what: str
    figure: Figure
    shown: str
    beside: str
    goal: str
    name: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.part, self.name or self.what

    @property
    def row(self) -> tuple[str, ...]:
        return self.part, self.what, f"**{self.shown}**", self.beside, self.goal


def once(value: float, unit: str = "") -> Figure:
    """Return what was measured once."""
    return Figure(value, unit, None, None)


def exact(value: float, unit: str = "") -> Figure:
    """Return what was counted: the next count is the same."""
    return Figure(value, unit, value, value)


def quotient(found: Ratio) -> Figure:
    return Figure(found.value, "", found.low, found.high)


def drawn(
    values: Sequence[float],
    of: Callable[[Sequence[float]], float] = figures.median,
    *,
    unit: str = "",
    factor: float = 1.0,
) -> Figure:
    """Return a row's median, or another figure of it, with its interval; in `unit`, so many to a unit of the row."""
    low, high = figures.interval(values, of)
    return Figure(of(values) * factor, unit, low * factor, high * factor)


def latest(values: Sequence[float], *, unit: str, factor: float) -> Figure:
    """Return the largest of a row; any of the row may be the largest of the next one."""
    return Figure(max(values) * factor, unit, min(values) * factor, max(values) * factor)
