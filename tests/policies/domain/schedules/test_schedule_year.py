"""A leap year in several time zones, held against a clock that is read every quarter of an hour.

Three zones are read for the whole year; the others on the days around a change of their clocks, and
around the leap day.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise, takewhile
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest

from policies.domain.schedules import schedule
from policies.domain.schedules.schedule import Every, Rule, Unit

FOR_THE_YEAR = [
    "Europe/Berlin",
    "Australia/Lord_Howe",  # puts its clocks half an hour forward
    "Africa/Casablanca",  # puts its clocks back for Ramadan
]
AROUND_CHANGES = [
    "UTC",
    "America/New_York",
    "America/St_Johns",  # half an hour off
    "Antarctica/Troll",  # two hours
    "Asia/Kolkata",  # leaves its clocks alone
]
BEGIN, END = datetime(2028, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)
LEAP_DAY = datetime(2028, 2, 29, tzinfo=UTC)
DAYS_AROUND = timedelta(days=3)
QUARTER = timedelta(minutes=15)
Matches = Callable[[datetime], bool]


class Reading(NamedTuple):
    """The local time at a moment, and the times skipped right before."""

    at: datetime
    wall: datetime
    again: bool
    left_out: tuple[datetime, ...]


Span = tuple[datetime, datetime]


def spans(zone: str) -> list[Span]:
    """Return from when to when the zone's clock is read."""
    if zone in FOR_THE_YEAR:
        return [(BEGIN, END)]
    days = [BEGIN + timedelta(days=number) for number in range((END - BEGIN).days)]
    offsets = [day.astimezone(ZoneInfo(zone)).utcoffset() for day in days]
    changes = [
        day
        for day, now, before in zip(days[1:], offsets[1:], offsets, strict=False)
        if now != before
    ]
    return [(day - DAYS_AROUND, day + DAYS_AROUND) for day in sorted([*changes, LEAP_DAY])]


@lru_cache(maxsize=8)
def readings_in(zone: str, begin: datetime, end: datetime) -> list[Reading]:
    """Read the zone's clock every quarter of an hour, with the skipped times."""
    found: list[Reading] = []
    at, before = begin, None
    while at < end:
        local = at.astimezone(ZoneInfo(zone))
        wall = local.replace(tzinfo=None, fold=0)
        expected = before + QUARTER if before else wall
        left_out = tuple(_quarters(expected, wall))
        found.append(Reading(at, wall, bool(local.fold), left_out))
        at, before = at + QUARTER, wall
    return found


def readings(zone: str) -> list[Reading]:
    return [one for span in spans(zone) for one in readings_in(zone, *span)]


def _quarters(first: datetime, end: datetime) -> Iterator[datetime]:
    while first < end:
        yield first
        first += QUARTER


def by_the_wall(zone: str, matches: Matches) -> list[datetime]:
    """Once for each wall time: the first time that it is shown, or right after it was left out."""
    return [
        one.at
        for one in readings(zone)
        if not one.again and (matches(one.wall) or any(map(matches, one.left_out)))
    ]


def at_each_showing(zone: str, matches: Matches) -> list[datetime]:
    return [one.at for one in readings(zone) if matches(one.wall)]


def found_in(rule: Rule, begin: datetime, end: datetime) -> list[datetime]:
    moments = schedule.due_after(rule, begin - QUARTER)
    return list(takewhile(lambda at: at < end, moments))


def found_by(rule: Rule) -> list[datetime]:
    return [at for span in spans(str(rule.zone)) for at in found_in(rule, *span)]


@pytest.fixture(params=[*FOR_THE_YEAR, *AROUND_CHANGES], scope="module")
def zone(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def is_last_of_month(day: date) -> bool:
    return (day + timedelta(days=1)).month != day.month


FIXED: list[tuple[str, Matches]] = [
    ("0 2 * * *", lambda wall: wall.time() == time(2)),
    ("30 2 * * *", lambda wall: wall.time() == time(2, 30)),
    ("45 1 * * *", lambda wall: wall.time() == time(1, 45)),
    ("0,30 1-3 * * *", lambda wall: wall.minute in {0, 30} and wall.hour in {1, 2, 3}),
    ("15 0 * * sun", lambda wall: wall.time() == time(0, 15) and wall.weekday() == 6),
    ("0 3 31 * *", lambda wall: wall.time() == time(3) and wall.day == 31),
    ("0 2 1 * mon", lambda w: w.time() == time(2) and (w.day == 1 or w.weekday() == 0)),
    ("30 2 29 2 *", lambda w: w.time() == time(2, 30) and (w.month, w.day) == (2, 29)),
]


@pytest.mark.parametrize(("cron", "matches"), FIXED, ids=[cron for cron, _ in FIXED])
def test_fixed_times_of_cron_go_by_the_wall_clock(zone: str, cron: str, matches: Matches) -> None:
    rule = Rule(ZoneInfo(zone), cron=cron)

    assert found_by(rule) == by_the_wall(zone, matches)


WILD: list[tuple[str, Matches]] = [
    ("0 * * * *", lambda wall: wall.minute == 0),
    ("*/15 * * * *", lambda wall: wall.minute % 15 == 0),
    ("*/30 2 * * *", lambda wall: wall.hour == 2 and wall.minute % 30 == 0),
    ("45 * * * *", lambda wall: wall.minute == 45),
    ("15,30 * * * *", lambda wall: wall.minute in {15, 30}),
    ("45 */6 * * *", lambda wall: wall.minute == 45 and wall.hour % 6 == 0),
]


@pytest.mark.parametrize(("cron", "matches"), WILD, ids=[cron for cron, _ in WILD])
def test_wildcards_of_cron_are_due_whenever_the_clock_shows_them(
    zone: str, cron: str, matches: Matches
) -> None:
    rule = Rule(ZoneInfo(zone), cron=cron)

    assert found_by(rule) == at_each_showing(zone, matches)


@pytest.mark.parametrize("clock", [time(2, 30), time(0), time(1, 15)])
@pytest.mark.parametrize(
    ("number", "unit", "days"), [(1, "days", 1), (3, "days", 3), (2, "weeks", 14)]
)
def test_days_and_weeks_go_by_the_wall_clock(
    zone: str, clock: time, number: int, unit: str, days: int
) -> None:
    start = datetime.combine(date(2027, 12, 29), clock)
    rule = Rule(ZoneInfo(zone), every=Every(number, Unit(unit), start))

    def matches(wall: datetime) -> bool:
        return wall.time() == clock and (wall.date() - start.date()).days % days == 0

    assert found_by(rule) == by_the_wall(zone, matches)


@pytest.mark.parametrize("day", [1, 29, 31])
@pytest.mark.parametrize("number", [1, 2, 5])
def test_months_go_by_the_wall_clock_and_end_with_the_month_without_drift(
    zone: str, day: int, number: int
) -> None:
    start = datetime.combine(date(2027, 12, day), time(2, 30))
    rule = Rule(ZoneInfo(zone), every=Every(number, Unit.MONTHS, start))

    def matches(wall: datetime) -> bool:
        months = (wall.year - 2027) * 12 + wall.month - 12
        right_day = wall.day == day or (wall.day < day and is_last_of_month(wall.date()))
        return wall.time() == time(2, 30) and right_day and months % number == 0

    assert found_by(rule) == by_the_wall(zone, matches)


@pytest.mark.parametrize(("number", "unit"), [(90, "minutes"), (1, "hours"), (7, "hours")])
def test_minutes_and_hours_go_by_what_has_passed(zone: str, number: int, unit: str) -> None:
    start = datetime.combine(date(2027, 12, 31), time(23, 30))
    span = timedelta(**{unit: number})
    rule = Rule(ZoneInfo(zone), every=Every(number, Unit(unit), start))
    begun = start.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)

    expected = [
        one.at
        for one in readings(zone)
        if one.at >= begun and (one.at - begun) % span == timedelta(0)
    ]

    assert found_by(rule) == expected


def test_a_search_may_begin_at_any_moment(zone: str) -> None:
    rule = Rule(ZoneInfo(zone), cron="0,30 1-3 * * *")

    for span in spans(zone):
        every_time = found_in(rule, *span)
        for one in readings_in(zone, *span)[:: 7 * 4 + 1]:
            following = next(schedule.due_after(rule, one.at), None)
            expected = next((at for at in every_time if at > one.at), None)
            if expected is not None:
                assert following == expected


def test_the_days_around_each_change_of_the_clocks_are_read(zone: str) -> None:
    changes = {"UTC": 0, "Asia/Kolkata": 0}.get(zone, 2)
    read = readings(zone)

    jumps = [
        one.at
        for before, one in pairwise(read)
        if one.at - before.at == QUARTER and one.wall - before.wall != QUARTER
    ]

    assert len(jumps) == changes
