"""The words of a timeline's bars stand where they belong, and inside the picture."""

from dataclasses import dataclass

import pytest

from n2wbackup.lib import timelines


@dataclass(frozen=True)
class Bar:
    x: float
    width: float
    row: int = 0


@pytest.mark.parametrize(
    ("bar", "x", "anchor"),
    [
        (Bar(0, 100), "0%", "start"),
        (Bar(39.5, 3), "39.5%", "start"),
        (Bar(43, 6), "46%", "middle"),
        (Bar(45, 50), "95%", "end"),
        (Bar(60, 2), "72%", "end"),
        (Bar(98, 2), "100%", "end"),
    ],
)
def test_words_stand_at_their_bar(bar: Bar, x: str, anchor: str) -> None:
    assert (timelines.label_x(bar), timelines.label_anchor(bar)) == (x, anchor)
