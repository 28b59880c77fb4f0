"""The next seven days of a schedule, day by day of its own time zone: when it is due, and when it is disabled."""

from datetime import date, datetime, timedelta
from itertools import takewhile
from typing import NamedTuple

from policies.domain.schedules import schedule
from policies.domain.schedules.disabled import DAY_MINUTES, DisabledTime
from policies.domain.schedules.schedule import Rule
from policies.models import Schedule
from policies.services.due import rules

DAYS = 7
SLOT_MINUTES = 5  # due times that are closer share a mark in the drawing; the table counts each
SHOWN = 8


class Mark(NamedTuple):
    """Due times of one slot, at this minute of the local day."""

    minute: int
    is_disabled: bool


class Closed(NamedTuple):
    """A disabled time of one day, in minutes since midnight."""

    begins: int
    ends: int

    @property
    def lasts(self) -> int:
        return self.ends - self.begins


class Day(NamedTuple):
    """One local day; `times` are the first that start a run, of `number`; `skipped` due times are disabled."""

    day: date
    marks: tuple[Mark, ...]
    closed: tuple[Closed, ...]
    times: tuple[str, ...]
    number: int
    skipped: int

    @property
    def more(self) -> int:
        return self.number - len(self.times)


def of_schedule(row: Schedule, now: datetime) -> list[Day]:
    """Return the next seven days, today first; none if the time zone is not known here."""
    try:
        rule = rules.of_schedule(row)
    except ValueError:
        return []
    today = now.astimezone(rule.zone).date()
    end = today + timedelta(days=DAYS)
    after = schedule.due({row.name: rule}, now)
    found: dict[date, list[tuple[datetime, bool]]] = {}
    for one in takewhile(lambda due: due.at.astimezone(rule.zone).date() < end, after):
        wall = one.at.astimezone(rule.zone)
        found.setdefault(wall.date(), []).append((wall, not one.names))
    days = (today + timedelta(days=number) for number in range(DAYS))
    return [_day(day, found.get(day, []), rule) for day in days]


def _day(day: date, due: list[tuple[datetime, bool]], rule: Rule) -> Day:
    marks = {
        ((wall.hour * 60 + wall.minute) // SLOT_MINUTES * SLOT_MINUTES, off) for wall, off in due
    }
    times = [f"{wall:%H:%M}" for wall, off in due if not off]
    return Day(
        day,
        tuple(sorted(Mark(*each) for each in marks)),
        tuple(closed for time in rule.disabled for closed in _closed(time, day.weekday())),
        tuple(times[:SHOWN]),
        len(times),
        len(due) - len(times),
    )


def _closed(time: DisabledTime, weekday: int) -> list[Closed]:
    """Return the parts of a disabled time on this day: one that continues past midnight has two."""
    if time.begins < time.ends:
        return [Closed(time.begins, time.ends)] if weekday in time.days else []
    evening = [Closed(time.begins, DAY_MINUTES)] if weekday in time.days else []
    morning = [Closed(0, time.ends)] if (weekday - 1) % DAYS in time.days and time.ends else []
    return morning + evening
