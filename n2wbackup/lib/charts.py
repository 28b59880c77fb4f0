"""Pictures that pages draw on the server, as SVG, with template tags: `{% load charts %}`.

Each says in words what it shows, and has a twin as a table. Nothing here needs a script or a style attribute; shapes
tell the same as colours.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from django import template
from django.template.loader import render_to_string
from django.utils.html import format_html_join
from django.utils.safestring import SafeString, mark_safe

from n2wbackup.lib import components

register = template.Library()

WEEKS, DAYS = 53, 7
STEP = 12  # from a cell to the next
WIDTH, HEIGHT = 600, 120  # of a trend


class Day(NamedTuple):
    """A day of a calendar: the worst that ended on it, and everything in words."""

    day: date
    kind: str
    words: str


class Month(NamedTuple):
    x: int
    name: str


class Point(NamedTuple):
    """A point of a trend: when, how much, where it leads, and in words."""

    at: datetime
    value: float
    words: str


class Dot(NamedTuple):
    x: float
    y: float
    words: str


@register.simple_tag
def calendar(days: Mapping[date, Day], today: date, label: str) -> SafeString:
    """Draw the days of the last 53 weeks, a column for each week; a day that is not in `days` is empty."""
    first = _first(today)
    # Not in a loop of the template: there are hundreds, and each is one line.
    cells = format_html_join(
        "\n",
        '<use class="{0}" href="#day-{0}" x="{1}" y="{2}"><title>{3}: {4}</title></use>',
        (
            (
                found.kind,
                (day - first).days // DAYS * STEP,
                (day - first).days % DAYS * STEP,
                day.isoformat(),
                found.words,
            )
            for day, found in sorted(days.items())
            if first <= day <= today
        ),
    )
    count = (today - first).days + 1
    return _drawn(
        "calendar",
        label=label,
        cells=cells,
        months=_months(first, today),
        empty=" ".join(
            f"M{n // DAYS * STEP + 5} {n % DAYS * STEP + 5}h2"
            for n in range(count)
            if first + timedelta(days=n) not in days
        ),
        width=WEEKS * STEP,
        height=DAYS * STEP,
    )


@register.simple_tag
def calendar_table(days: Mapping[date, Day], today: date, label: str) -> SafeString:
    """Show the same as `calendar` as a table: a row for each week with something in it, the newest first."""
    first = _first(today)
    weeks = []
    for number in reversed(range(WEEKS)):
        monday = first + timedelta(days=number * DAYS)
        found = [days.get(monday + timedelta(days=n)) for n in range(DAYS)]
        if any(found):
            weeks.append((monday.isoformat(), [one.words if one else "" for one in found]))
    return _drawn("calendar_table", label=label, weeks=weeks)


@register.simple_tag
def trend(points: Sequence[Point], label: str, line: float | None = None) -> SafeString:
    """Draw the points in their order, from zero to the highest; `line` is drawn across."""
    top = max([point.value for point in points] + [line or 0.0]) or 1.0
    step = WIDTH / max(1, len(points) - 1)
    dots = [
        Dot(round(n * step, 1), _height(point.value, top), point.words)
        for n, point in enumerate(points)
    ]
    return _drawn(
        "trend",
        label=label,
        dots=dots,
        path=" ".join(f"{'L' if n else 'M'}{dot.x} {dot.y}" for n, dot in enumerate(dots)),
        line=None if line is None else _height(line, top),
        top=components.span(top),
        width=WIDTH,
        height=HEIGHT,
    )


def _height(value: float, top: float) -> float:
    return round(HEIGHT - value / top * HEIGHT, 1)


def _first(today: date) -> date:
    """Return the Monday of the oldest of the 53 weeks."""
    return today - timedelta(days=today.weekday() + (WEEKS - 1) * DAYS)


def _months(first: date, today: date) -> list[Month]:
    """Return where each month begins; the first one only if its name has room."""
    found = []
    for n in range(WEEKS):
        monday = first + timedelta(days=n * DAYS)
        if n == 0 or monday.month != (monday - timedelta(days=DAYS)).month:
            found.append(Month(n * STEP, f"{monday:%b}"))
    if len(found) > 1 and found[1].x < 3 * STEP:
        del found[0]
    return [month for month in found if month.x <= (today - first).days // DAYS * STEP]


def _drawn(file: str, **context: object) -> SafeString:
    return mark_safe(render_to_string(f"charts/{file}.html", context).strip())  # noqa: S308 - a template escaped it
