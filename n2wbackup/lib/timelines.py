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


class _Bar(Protocol):
    row: int


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
def bar_y(bar: _Bar) -> int:
    return bar.row * ROW + BAR
