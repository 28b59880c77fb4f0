"""Schedules of all kinds, and a server that keeps going away: what nights are made of."""

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from policies.domain.schedules import disabled, schedule
from policies.domain.schedules.schedule import Every, Rule, Unit

ZONES = ["Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "Asia/Kolkata", "UTC"]
Outage = tuple[datetime, datetime]


class Entered(NamedTuple):
    """A schedule as it is entered: the fields of its row."""

    timezone: str
    cron: str = ""
    every_number: int | None = None
    every_unit: str = ""
    starting: str = ""
    disabled: tuple[str, ...] = ()

    def fields(self) -> dict[str, Any]:
        return {**self._asdict(), "disabled": list(self.disabled)}

    def rule(self) -> Rule:
        every = None
        if self.every_number:
            start = schedule.parse_wall(self.starting)
            every = Every(self.every_number, Unit(self.every_unit), start)
        times = tuple(disabled.parse(line) for line in self.disabled)
        return Rule(ZoneInfo(self.timezone), self.cron, every, disabled=times)


def schedules(chance: random.Random, number: int) -> list[Entered]:
    """Return schedules of all kinds, most of them in the hours in which clocks change."""
    return [_schedule(chance, ZONES[each % len(ZONES)], each % 4) for each in range(number)]


def _schedule(chance: random.Random, zone: str, kind: int) -> Entered:
    hour, minute = chance.choice([1, 2, 2, 3, 22]), chance.choice([0, 15, 30, 59])
    held = chance.choice([(), (), ("sat sun 00:00-24:00",), ("22:30-02:10",)])
    if kind == 2:
        every, unit = chance.choice([(3, "days"), (1, "weeks"), (61, "hours"), (1, "months")])
        starting = f"2026-08-31T{hour:02}:{minute:02}"
        return Entered(zone, "", every, unit, starting, held)
    if kind == 3:
        return Entered(zone, f"{minute} */12 * * sun,wed", disabled=held)
    days = chance.choice(["*", "2,5", "tue", "sat", "sun"])
    return Entered(zone, f"{minute} {hour} * * {days}", disabled=held)


def outages(
    chance: random.Random, begin: datetime, end: datetime, longest_wait: int
) -> list[Outage]:
    """Return when the server is down: from a minute to a day, after so many minutes at most."""
    found: list[Outage] = []
    at = begin
    while True:
        begins = at + timedelta(minutes=chance.randint(60, longest_wait))
        spans = [1, 20, 59, 61, 200, 1440]
        at = begins + timedelta(minutes=chance.choice(spans), seconds=chance.randint(0, 59))
        if at >= end:
            return found
        found.append((begins, at))


def up_at(down: list[Outage], at: datetime) -> datetime:
    """Return the moment, or when the server is there again."""
    return next((up for begins, up in down if begins <= at < up), at)


def is_held(rules: Mapping[str, Rule], at: datetime) -> bool:
    """Whether what is due at the moment lies in a disabled time."""
    return not next(schedule.due(rules, at - timedelta(seconds=1))).names
