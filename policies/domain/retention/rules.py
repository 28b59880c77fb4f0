"""How many restore points a policy keeps, and the periods by which they are counted. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

_DAYS_OF_A_WEEK, _MONTHS = 7, 12


class Unit(StrEnum):
    """What a rule counts; a generation is a restore point, whenever it was made."""

    GENERATION = "generation"
    LAST = "last"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"


NOUNS = {Unit.DAILY: "day", Unit.WEEKLY: "week", Unit.MONTHLY: "month", Unit.YEARLY: "year"}


@dataclass(frozen=True, slots=True)
class Rules:
    """How many of each are kept; 0: none. Without a number above 0, every restore point is kept.

    Days begin at midnight in `timezone`, weeks on Mondays (ISO 8601).
    """

    keep_last: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    generations: int = 0
    timezone: str = "UTC"

    @property
    def in_order(self) -> tuple[tuple[Unit, int], ...]:
        """Return the rules with a number, in the order in which they are applied."""
        each = (
            (Unit.GENERATION, self.generations),
            (Unit.LAST, self.keep_last),
            (Unit.DAILY, self.daily),
            (Unit.WEEKLY, self.weekly),
            (Unit.MONTHLY, self.monthly),
            (Unit.YEARLY, self.yearly),
        )
        return tuple((unit, number) for unit, number in each if number)

    @property
    def keeps_all(self) -> bool:
        return not self.in_order

    @property
    def in_words(self) -> str:
        """Return the rules as pages show them: "last 7, daily 14"."""
        if self.keeps_all:
            return "every restore point is kept"
        if self.generations:
            return f"{self.generations} generations"
        return ", ".join(f"{unit} {number}" for unit, number in self.in_order)


class Periods(NamedTuple):
    """The day, week, month and year of a moment: whole numbers that grow with it."""

    day: int
    week: int
    month: int
    year: int

    def of(self, unit: Unit) -> int:
        return self[_PLACES[unit]]


_PLACES = {Unit.DAILY: 0, Unit.WEEKLY: 1, Unit.MONTHLY: 2, Unit.YEARLY: 3}


def periods(at: datetime, zone: ZoneInfo) -> Periods:
    local = at.astimezone(zone).date()
    day = local.toordinal()
    # The first day of the first year was a Monday.
    week = (day - 1) // _DAYS_OF_A_WEEK
    return Periods(day, week, local.year * _MONTHS + local.month - 1, local.year)


def begins(unit: Unit, period: int, zone: ZoneInfo) -> datetime:
    """Return the moment at which a period begins, in UTC."""
    return datetime.combine(_FIRST_DAYS[unit](period), time(), zone).astimezone(UTC)


def later(at: datetime, unit: Unit, number: int, zone: ZoneInfo) -> datetime:
    """Return the beginning of the day that is so many periods after this moment, in UTC."""
    day = at.astimezone(zone).date()
    if unit == Unit.DAILY:
        day += timedelta(days=number)
    elif unit == Unit.WEEKLY:
        day += timedelta(days=number * _DAYS_OF_A_WEEK)
    else:
        months = number * (_MONTHS if unit == Unit.YEARLY else 1)
        first = _first_of_month(day.year * _MONTHS + day.month - 1 + months)
        day = first + timedelta(days=day.day - 1)
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _first_of_month(period: int) -> date:
    return date(period // _MONTHS, period % _MONTHS + 1, 1)


_FIRST_DAYS: dict[Unit, Callable[[int], date]] = {
    Unit.DAILY: date.fromordinal,
    Unit.WEEKLY: lambda week: date.fromordinal(week * _DAYS_OF_A_WEEK + 1),
    Unit.MONTHLY: _first_of_month,
    Unit.YEARLY: lambda year: date(year, 1, 1),
}
