"""What is to come, as pages and reports tell it. Nothing is changed and nothing planned here."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from n2wbackup.lib import clock
from policies.domain.schedules import schedule
from policies.models import Policy, Schedule
from policies.services.due import rules

SHOWN = 5
# Due times that a list searches for each of its rows: all are disabled in the worst case, and it has many rows.
LOOKED_AT_IN_A_LIST = 2_000
UTC = "UTC"


class Line(NamedTuple):
    """A moment, and what the clocks of `Outlook.zones` show then."""

    at: datetime
    shown: tuple[str, ...]


class Outlook(NamedTuple):
    """The next moments at which a run starts, in UTC and in order; where there is none, `note` says why."""

    times: tuple[datetime, ...]
    zones: tuple[str, ...] = ()  # those of the schedules, UTC left out
    note: str = ""

    @property
    def lines(self) -> tuple[Line, ...]:
        """Return the moments as clocks show them."""
        known = [rules.zone(name) for name in self.zones]
        return tuple(
            Line(at, tuple(f"{at.astimezone(zone):%a %Y-%m-%d %H:%M %Z}" for zone in known))
            for at in self.times
        )


def of_policy(policy: Policy, *, looked_at: int = schedule.LOOKED_AT) -> Outlook:
    """Return when the policy will be run; nothing while it is switched off."""
    rows = list(policy.schedules.all())
    if not policy.enabled:
        return Outlook((), note="The policy is switched off.")
    if not rows:
        return Outlook((), note="It follows no schedule.")
    return _reckoned(rows, looked_at)


def of_schedule(row: Schedule, *, looked_at: int = schedule.LOOKED_AT) -> Outlook:
    """Return when what follows the schedule will be run."""
    return _reckoned([row], looked_at)


def in_words(row: Schedule) -> str:
    """Return when the schedule is due, without its zone and disabled times."""
    when = f"{row.cron} ({schedule.explain_cron(row.cron)})" if row.cron else _every(row)
    return f"{when}, until {_wall(row.ending)}" if row.ending else when


def _every(row: Schedule) -> str:
    one = row.every_number == 1
    count = row.every_unit.removesuffix("s") if one else f"{row.every_number} {row.every_unit}"
    return f"every {count} from {_wall(row.starting)}"


def _wall(text: str) -> str:
    return text.replace("T", " ")


def _reckoned(rows: Iterable[Schedule], looked_at: int) -> Outlook:
    rows = list(rows)
    try:
        known = rules.of(rows)
    except ValueError as error:  # a zone that this machine does not know any more
        return Outlook((), note=str(error))
    times = tuple(schedule.upcoming(known, clock.now(), SHOWN, looked_at=looked_at))
    zones = tuple(sorted({row.timezone for row in rows} - {UTC}))
    return Outlook(times, zones, "" if times else _why_none(known, looked_at))


def _why_none(known: rules.Rules, looked_at: int) -> str:
    if next(schedule.due(known, clock.now()), None) is None:
        return "Nothing is due any more."
    return f"Disabled times hold all that is due, as far as was looked ({looked_at} due times)."
