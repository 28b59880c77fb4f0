"""The due times of a schedule. Pure: a rule and a moment in, moments out.

Moments are aware, in UTC and whole minutes. When clocks are set forward, a time in the skipped hour is
due at the first moment after it. When they are set back, a time in the repeated hour is due in the first
of the two. That is for cron's fixed times, days, weeks and months; minutes, hours and cron's wildcards
go by elapsed time, as in Debian's cron.
"""

import calendar
import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from itertools import count, groupby, islice
from operator import attrgetter
from typing import NamedTuple

from cronsim import CronSim, CronSimError

from policies.domain.schedules import foreign
from policies.domain.schedules.disabled import DisabledTime

CRON_FIELDS = 5
_MINUTE = timedelta(minutes=1)
_FIRST, _LAST = 2000, 2200  # the first year of a local time, and the first that is too late
LOOKED_AT = 20_000  # due times after which the search for one that is not disabled stops


# If so many due times in a row, over so long a time, are disabled, then all are.
_CLOSED, _CLOSED_FOR = 400, timedelta(days=8)


class Unit(StrEnum):
    """The units of `every`."""

    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"
    WEEKS = "weeks"
    MONTHS = "months"


LIMITS: Mapping[Unit, int] = {
    Unit.MINUTES: 44_640,
    Unit.HOURS: 8_784,
    Unit.DAYS: 1_000,
    Unit.WEEKS: 200,
    Unit.MONTHS: 120,
}
_ELAPSED = {Unit.MINUTES: timedelta(minutes=1), Unit.HOURS: timedelta(hours=1)}
_CALENDAR_DAYS = {Unit.DAYS: 1, Unit.WEEKS: 7}


@dataclass(frozen=True, slots=True)
class Every:
    """Every `number` units from `starting`, which is the first due time; a naive local time."""

    number: int
    unit: Unit
    starting: datetime


@dataclass(frozen=True, slots=True)
class Rule:
    """One schedule: either `cron` (five fields) or `every`. Nothing is due after `ending` (naive)."""

    zone: tzinfo
    cron: str = ""
    every: Every | None = None
    ending: datetime | None = None
    disabled: tuple[DisabledTime, ...] = ()


class Due(NamedTuple):
    """A moment at which schedules are due: those in `names`; none if it is disabled for all of them.

    In that case, `disabled` has the disabled time of each schedule that contains it.
    """

    at: datetime
    names: tuple[str, ...]
    disabled: tuple[str, ...]


def due_after(rule: Rule, moment: datetime) -> Iterator[datetime]:
    """Yield when the rule is due, strictly after the moment, each time once and in order."""
    ending = first_moment(rule.ending, rule.zone) if rule.ending else None
    last = moment
    for at in _by_cron(rule, moment) if rule.every is None else _by_count(rule, rule.every, moment):
        if at.year >= _LAST or (ending is not None and at > ending):
            return
        # Two times in a skipped hour may give one moment, and times in a repeated hour may go back.
        if at > last:
            last = at
            yield at


def due(rules: Mapping[str, Rule], after: datetime) -> Iterator[Due]:
    """Yield the moments at which any rule is due, each once, strictly after the moment."""
    streams = [_named(name, rule, after) for name, rule in sorted(rules.items())]
    for at, found in groupby(heapq.merge(*streams), key=attrgetter("at")):
        names = [one.name for one in found]
        open_names = tuple(name for name in names if disabled_at(rules[name], at) is None)
        yield Due(at, open_names, () if open_names else held({n: rules[n] for n in names}, at))


def upcoming(
    rules: Mapping[str, Rule], after: datetime, number: int, *, looked_at: int = LOOKED_AT
) -> list[datetime]:
    """Return the next moments at which a run will start; fewer if there are no more.

    The search covers the first `looked_at` due times, disabled ones included. It stops sooner if all due
    times of more than a week are disabled, as disabled times repeat each week.
    """
    found: list[datetime] = []
    closed, since = 0, after
    for one in islice(due(rules, after), looked_at):
        if one.names:
            found.append(one.at)
            closed, since = 0, one.at
        else:
            closed += 1
        if len(found) == number or (closed >= _CLOSED and one.at - since >= _CLOSED_FOR):
            break
    return found


def disabled_at(rule: Rule, moment: datetime) -> DisabledTime | None:
    """Return the disabled time that contains the moment, or None."""
    wall = moment.astimezone(rule.zone)
    return next((time for time in rule.disabled if time.holds(wall)), None)


def held(rules: Mapping[str, Rule], moment: datetime) -> tuple[str, ...]:
    """Return a disabled time for each rule; nothing if a rule is free at the moment, or there are no rules."""
    times = {name: disabled_at(rule, moment) for name, rule in rules.items()}
    if any(time is None for time in times.values()):
        return ()
    return tuple(f"{name}: {time}" for name, time in times.items())


def first_moment(wall: datetime, zone: tzinfo) -> datetime:
    """Return the first moment at which the zone's local time is this, or later."""
    shown = wall.replace(tzinfo=zone, fold=0)
    while (at := shown.astimezone(UTC)).astimezone(zone).replace(tzinfo=None) != wall:
        wall += _MINUTE
        shown = wall.replace(tzinfo=zone, fold=0)
    return at


def parse_wall(text: str) -> datetime:
    """Return a naive local time from "YYYY-MM-DDTHH:MM"; ValueError with a sentence if it is none."""
    try:
        found = datetime.strptime(text, "%Y-%m-%dT%H:%M")  # noqa: DTZ007 - a local time has no zone
    except ValueError:
        found = None
    if found is None or not _FIRST <= found.year < _LAST or f"{found:%Y-%m-%dT%H:%M}" != text:
        message = (
            f"{text!r} is not a date and time from {_FIRST} to {_LAST - 1}: write one such as "
            "2026-12-01T00:00, in local time of the schedule's time zone."
        )
        raise ValueError(message)
    return found


def check_cron(text: str) -> None:
    """Raise ValueError, with a sentence, if the text is not a cron expression or is never due."""
    elsewhere = foreign.advice(text)
    if elsewhere:
        raise ValueError(elsewhere)
    fields = text.split()
    if len(fields) != CRON_FIELDS:
        message = (
            f"{text!r} has {len(fields)} fields but needs {CRON_FIELDS}: minute, hour, day of the month, "
            "month, day of the week, such as 0 2 * * *."
        )
        raise ValueError(message)
    try:
        ever = next(CronSim(text, datetime(_FIRST, 1, 1, tzinfo=UTC)), None)
    except CronSimError as error:
        message = f"{text!r} is not a cron expression ({error}): write one such as 0 2 * * *."
        raise ValueError(message) from None
    if ever is None:
        message = f"{text!r} is never due: correct the day or the month."
        raise ValueError(message)


def explain_cron(text: str) -> str:
    """Return a cron expression in words, such as "At 02:00 every day"."""
    return CronSim(text, datetime(_FIRST, 1, 1, tzinfo=UTC)).explain()


class _Cron(CronSim):
    """Moves in steps that no clock change skips: in some zones the clock changes by half an hour."""

    def advance_hour(self) -> bool:
        """Move on to a matching hour; False if this one matches."""
        if self.dt.hour in self.hours:
            return False
        self.dt = self.dt.replace(minute=0, second=0)
        day = self.dt.day
        return self._walk(lambda: self.dt.hour in self.hours or self.dt.day != day, 30)

    def advance_minute(self) -> bool:
        """Move on to a matching minute; False if this one matches."""
        if self.dt.minute in self.minutes:
            return False
        self.dt = self.dt.replace(second=0)
        return self._walk(lambda: self.dt.minute in self.minutes or self.dt.minute == 0, 1)

    def _walk(self, there: Callable[[], bool], minutes: int) -> bool:
        self.tick(seconds=minutes * 60)
        while not there():
            self.tick(seconds=minutes * 60)
        return True


class _Named(NamedTuple):
    at: datetime
    name: str


def _named(name: str, rule: Rule, after: datetime) -> Iterator[_Named]:
    return (_Named(at, name) for at in due_after(rule, after))


def _by_cron(rule: Rule, moment: datetime) -> Iterator[datetime]:
    return (at.astimezone(UTC) for at in _Cron(rule.cron, moment.astimezone(rule.zone)))


def _by_count(rule: Rule, every: Every, moment: datetime) -> Iterator[datetime]:
    if every.unit in _ELAPSED:
        return _elapsed(rule, every, moment)
    return _on_the_calendar(rule, every, moment)


def _elapsed(rule: Rule, every: Every, moment: datetime) -> Iterator[datetime]:
    first, span = first_moment(every.starting, rule.zone), _ELAPSED[every.unit] * every.number
    passed = max(0, (moment - first) // span)
    return (first + span * n for n in count(passed))


def _on_the_calendar(rule: Rule, every: Every, moment: datetime) -> Iterator[datetime]:
    """Count from the start each time, so that a shortened month's end does not move later dates."""
    wall, start = moment.astimezone(rule.zone), every.starting
    if every.unit in _CALENDAR_DAYS:
        passed = (wall.date() - start.date()).days // (_CALENDAR_DAYS[every.unit] * every.number)
    else:
        passed = ((wall.year - start.year) * 12 + wall.month - start.month) // every.number
    for n in count(max(0, passed)):
        shown = _shifted(every, n)
        if shown is None:
            return
        yield first_moment(shown, rule.zone)


def _shifted(every: Every, n: int) -> datetime | None:
    """Return the start moved on n times, None after the last year."""
    start = every.starting
    if every.unit in _CALENDAR_DAYS:
        moved = start + timedelta(days=n * every.number * _CALENDAR_DAYS[every.unit])
        return moved if moved.year < _LAST else None
    years, month = divmod(start.month - 1 + n * every.number, 12)
    year = start.year + years
    if year >= _LAST:
        return None
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day)
