"""Rows of schedules as rules of the domain. It reads only the rows that it is given."""

from collections.abc import Iterable, Mapping
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from policies.domain.schedules import disabled, schedule, zones
from policies.domain.schedules.schedule import Every, Rule, Unit
from policies.models import Schedule

Rules = Mapping[str, Rule]
_NO_PLACES = {"Factory", "localtime"}  # entries of the time zone database that are no real zones


def of(rows: Iterable[Schedule]) -> Rules:
    """Return the schedules' rules by their names; ValueError as `of_schedule`."""
    return {row.name: of_schedule(row) for row in rows}


def known(rows: Iterable[Schedule]) -> tuple[Rules, list[str]]:
    """Return the rules of the schedules with a known time zone, and a sentence for each of the others."""
    found, unknown = {}, []
    for row in rows:
        try:
            found[row.name] = of_schedule(row)
        except ValueError as error:
            unknown.append(f"The schedule {row.name} cannot be used: {error}")
    return found, unknown


def of_schedule(row: Schedule) -> Rule:
    """Return the schedule's rule; ValueError if this machine does not (or no longer) know its time zone."""
    every = None
    if row.every_number:
        every = Every(row.every_number, Unit(row.every_unit), schedule.parse_wall(row.starting))
    return Rule(
        zone=zone(row.timezone),
        cron=row.cron,
        every=every,
        ending=schedule.parse_wall(row.ending) if row.ending else None,
        disabled=tuple(disabled.parse(line) for line in row.disabled),
    )


def zone(name: str) -> ZoneInfo:
    """Return the time zone of this name; ValueError, with a sentence, if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = available_timezones() - _NO_PLACES
        message = f"{name!r} is not a time zone: {zones.advice(name, known)}"
        raise ValueError(message) from None


def zone_names() -> list[str]:
    """Return the time zones that people may choose, sorted."""
    return sorted(available_timezones() - _NO_PLACES)
