"""Rows of schedules as the domain knows them. Reads nothing but the rows it is given."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from policies.domain.schedules import disabled, schedule
from policies.domain.schedules.schedule import Every, Rule, Unit
from policies.models import Schedule

Rules = Mapping[str, Rule]
_NO_PLACES = {"Factory", "localtime"}  # files of the database that name no zone of their own


def of(rows: Iterable[Schedule]) -> Rules:
    """Return the schedules' rules by their names; ValueError as `of_schedule`."""
    return {row.name: of_schedule(row) for row in rows}


def known(rows: Iterable[Schedule]) -> tuple[Rules, list[str]]:
    """Return the rules of those schedules whose time zone is known here, and a sentence for each other."""
    found, unknown = {}, []
    for row in rows:
        try:
            found[row.name] = of_schedule(row)
        except ValueError as error:
            unknown.append(f"The schedule {row.name} cannot be followed: {error}")
    return found, unknown


def of_schedule(row: Schedule) -> Rule:
    """Return the schedule's rule; ValueError where its time zone is not known on this machine (any more)."""
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
    """Return the time zone of this name; ValueError, with a sentence, where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = get_close_matches(name, available_timezones(), n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}?" if near else "write one such as Europe/Berlin or UTC."
        message = f"{name!r} is no time zone: {hint}"
        raise ValueError(message) from None


def zone_names() -> list[str]:
    """Return the time zones that people may choose, in order."""
    return sorted(available_timezones() - _NO_PLACES)
