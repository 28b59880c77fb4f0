"""The places of a timeline's bars in its picture, as filters: `{% load timelines %}`.

Across, a timeline is in per cent, so that it fits every width with letters of the same size. Down, each bar has a
row of its own: its words, and the bar below them.
"""

from typing import Protocol

from django import template

register = template.Library()

ROW = 34
WORDS = 14  # the line on which the words of a row stand
BAR = 19  # the upper edge of its bar
AXIS = 22
# Per cent: as far as words fit to the right of a place, around it, and from where on to its left.
LEFT, MIDDLE, RIGHT = 40.0, 60.0, 72.0


class _Bar(Protocol):
    @property
    def row(self) -> int: ...
    @property
    def x(self) -> float: ...
    @property
    def width(self) -> float: ...


class _Timeline(Protocol):
    bars: tuple[_Bar, ...]


@register.filter
def height(line: _Timeline) -> int:
    return axis(line) + AXIS


@register.filter
def axis(line: _Timeline) -> int:
    """Return where the axis of time is."""
    return len(line.bars) * ROW


@register.filter
def label_y(bar: _Bar) -> int:
    return bar.row * ROW + WORDS


@register.filter
def label_x(bar: _Bar) -> str:
    """Return where the words of a bar stand: at its beginning, around it, or up to its end."""
    return f"{_label(bar)[0]:g}%"


@register.filter
def label_anchor(bar: _Bar) -> str:
    return _label(bar)[1]


def _label(bar: _Bar) -> tuple[float, str]:
    middle = bar.x + bar.width / 2
    if bar.x < LEFT:
        return bar.x, "start"
    if middle < MIDDLE:
        return middle, "middle"
    return max(bar.x + bar.width, RIGHT), "end"


@register.filter
def bar_y(bar: _Bar) -> int:
    return bar.row * ROW + BAR
