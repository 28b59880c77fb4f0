"""The week of a schedule as a drawing: places and sizes for templates/policies/schedule/week.html, in its own units."""

from collections.abc import Iterable
from typing import Any

from policies.domain.schedules import disabled
from policies.services.due.week import Day

_LEFT, _PER_MINUTE, _ROW = 72, 0.5, 25  # a day is 720 units wide
_HOURS = range(0, 25, 6)


def week(days: Iterable[Day]) -> dict[str, Any]:
    """Return the context of the drawing and of its table."""
    return {
        "hours": [{"x": _x(hour * 60), "label": disabled.clock(hour * 60)} for hour in _HOURS],
        "row_height": _ROW,
        "drawn": [_day(day, place) for place, day in enumerate(days)],
    }


def _day(day: Day, place: int) -> dict[str, Any]:
    return {
        "y": place * _ROW,
        "label": f"{day.day:%a} {day.day:%m-%d}",
        "word": f"{day.day:%a}".lower(),  # as lines of disabled times have it
        "closed": [
            {"x": _x(part.begins), "width": f"{part.lasts * _PER_MINUTE:g}"} for part in day.closed
        ],
        "marks": [
            {
                "x": _x(mark.minute),
                "is_disabled": mark.is_disabled,
                "label": f"{disabled.clock(mark.minute)}{', disabled' if mark.is_disabled else ''}",
            }
            for mark in day.marks
        ],
        "times": day.times,
        "number": day.number,
        "skipped": day.skipped,
        "more": day.more,
    }


def _x(minute: int) -> str:
    """Return the place as text: templates may write numbers in another form."""
    return f"{_LEFT + minute * _PER_MINUTE:g}"
