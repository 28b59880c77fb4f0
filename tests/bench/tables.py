"""Markdown as the page's parts need it: tables, spreads, and whether a goal was met."""

from collections.abc import Iterable, Sequence

from tests.bench.figures import Spread

MEGABYTE = 1e6


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spreads(rows: Iterable[tuple[str, Spread]], factor: float = 1000.0) -> str:
    """Return a table of named spreads, in milliseconds where the values are seconds."""
    head = ("", "rounds", "median", "lower quartile", "upper quartile", "p95")
    return table(head, [(name, str(each.rounds), *_shown(each, factor)) for name, each in rows])


def _shown(each: Spread, factor: float) -> tuple[str, ...]:
    values = (each.median, each.lower_quartile, each.upper_quartile, each.p95)
    return tuple(f"{value * factor:.2f}" for value in values)


def goal(value: float, most: float, shown: str = "") -> str:
    """Return the goal and whether the value meets it; `shown` is the goal in words."""
    return f"at most {shown or f'{most:g}'}: {'met' if value <= most else 'missed'}"
