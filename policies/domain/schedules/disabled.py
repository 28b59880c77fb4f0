"""Times of the week in which a schedule starts nothing, by the wall clock of the schedule's time zone."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
_CLOCK = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])")
_FORM = "write days and a span, such as sat sun 08:00-18:00"


class DisabledTime(NamedTuple):
    """A span that begins on each of `days` (0: Monday). Minutes since midnight, the end not included.

    An end that is not after the beginning lies on the next day.
    """

    days: frozenset[int]
    begins: int
    ends: int

    def holds(self, wall: datetime) -> bool:
        """Tell whether a wall clock that shows this stands in the span."""
        day, minute = wall.weekday(), wall.hour * 60 + wall.minute
        if self.begins < self.ends:
            return day in self.days and self.begins <= minute < self.ends
        yesterday = (day - 1) % len(DAYS)
        return (day in self.days and minute >= self.begins) or (
            yesterday in self.days and minute < self.ends
        )

    def __str__(self) -> str:
        """Return it as people write it: "sat sun 08:00-18:00"."""
        days = [DAYS[day] for day in sorted(self.days)] if len(self.days) < len(DAYS) else []
        return " ".join([*days, f"{clock(self.begins)}-{clock(self.ends)}"])


def make(days: Sequence[str], begins: str, ends: str) -> DisabledTime:
    """Return the span; no day at all means each. ValueError with a sentence where it cannot be."""
    unknown = [day for day in days if day.lower() not in DAYS]
    if unknown:
        message = f"{unknown[0]!r} is no day of the week: the days are {', '.join(DAYS)}."
        raise ValueError(message)
    found = frozenset(DAYS.index(day.lower()) for day in days) or frozenset(range(len(DAYS)))
    made = DisabledTime(found, _minutes(begins), _minutes(ends))
    if made.begins == made.ends:
        message = (
            f"From {begins} to {ends} is no time at all: write 00:00 to 24:00 for a whole day."
        )
        raise ValueError(message)
    if made.begins == DAY_MINUTES:
        message = "A day's last moment begins nothing: write 00:00 and the next day."
        raise ValueError(message)
    return made


def parse(line: str) -> DisabledTime:
    """Return the span that `str()` of it writes; ValueError with a sentence where the line is none."""
    *days, span = line.replace(",", " ").split() or [""]
    begins, dash, ends = span.partition("-")
    if not dash:
        message = f"{line.strip()!r} is no disabled time: {_FORM}."
        raise ValueError(message)
    return make(days, begins, ends)


def clock(minutes: int) -> str:
    """Return minutes since midnight as a clock shows them; the end of a day is 24:00."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _minutes(text: str) -> int:
    found = _CLOCK.fullmatch(text)
    minutes = int(found[1]) * 60 + int(found[2]) if found else DAY_MINUTES + 1
    if minutes > DAY_MINUTES:
        message = f"{text!r} is no time of day: write one from 00:00 to 24:00, such as 08:00."
        raise ValueError(message)
    return minutes
