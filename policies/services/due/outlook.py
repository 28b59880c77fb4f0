"""What is to come, as pages and reports tell it. Nothing is changed and nothing planned here."""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from n2wbackup.lib import clock
from policies.domain.schedules import schedule
from policies.domain.schedules.schedule import Rule
from policies.models import Policy, Schedule
from policies.services.due import pauses, rules

SHOWN = 5
# Due times that a list searches for each of its rows: all are disabled in the worst case, and it has many rows.
LOOKED_AT_IN_A_LIST = 2_000


class WhyNone(StrEnum):
    """Why no run starts at any time that we know of."""

    DISABLED = "disabled"
    NO_SCHEDULE = "no schedule"
    UNKNOWN_ZONE = "unknown zone"
    NOTHING_MORE = "nothing more"
    ALL_IN_DISABLED_TIMES = "all in disabled times"


class Outlook(NamedTuple):
    """The next moments at which a run starts, in UTC and in order; if there is none, `why` says why."""

    times: tuple[datetime, ...]
    zones: tuple[str, ...] = ()  # those of the schedules, without UTC
    why: WhyNone | None = None
    told: str = (
        ""  # of an unknown zone: which; of disabled times: how many due times were looked at
    )

    @property
    def note(self) -> str:
        """Return `why` in words, the same for pages, commands and JSON; nothing where there are times."""
        return _WORDS[self.why].format(told=self.told) if self.why else ""


_WORDS = {
    WhyNone.DISABLED: "The policy is disabled.",
    WhyNone.NO_SCHEDULE: "It follows no schedule.",
    WhyNone.UNKNOWN_ZONE: "{told}",
    WhyNone.NOTHING_MORE: "No due time is left.",
    WhyNone.ALL_IN_DISABLED_TIMES: ("All of the next {told} due times are within disabled times."),
}


def of_policy(policy: Policy, *, looked_at: int = schedule.LOOKED_AT) -> Outlook:
    """Return when the policy will run: nothing while it is disabled, and nothing before its pause ends."""
    rows = list(policy.schedules.all())
    if not policy.enabled:
        return Outlook((), why=WhyNone.DISABLED)
    if not rows:
        return Outlook((), why=WhyNone.NO_SCHEDULE)
    return _reckoned(rows, looked_at, pauses.counted_from(policy.paused_until, clock.now()))


def of_schedule(row: Schedule, *, looked_at: int = schedule.LOOKED_AT) -> Outlook:
    """Return when what follows the schedule will be run."""
    return _reckoned([row], looked_at, clock.now())


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


def _reckoned(rows: Iterable[Schedule], looked_at: int, after: datetime) -> Outlook:
    rows = list(rows)
    try:
        known = rules.of(rows)
    except ValueError as error:  # a time zone that this machine no longer knows
        return Outlook((), why=WhyNone.UNKNOWN_ZONE, told=str(error))
    now = clock.now()
    zones = frozenset(row.timezone for row in rows)
    if after > now:  # it is paused until then
        return _reckoned_anew(known, zones, looked_at, after)
    key = (frozenset(known.values()), zones, looked_at)
    found = _remembered.get(key, now)
    if found is None:
        found = _reckoned_anew(known, zones, looked_at, now)
        _remembered.put(key, now, found)
    return found


def _reckoned_anew(
    known: rules.Rules, zones: frozenset[str], looked_at: int, after: datetime
) -> Outlook:
    times = tuple(schedule.upcoming(known, after, SHOWN, looked_at=looked_at))
    shown = tuple(sorted(zones - clock.UTC_NAMES))
    if times:
        return Outlook(times, shown)
    if next(schedule.due(known, after), None) is None:
        return Outlook((), shown, WhyNone.NOTHING_MORE)
    return Outlook((), shown, WhyNone.ALL_IN_DISABLED_TIMES, str(looked_at))


_Key = tuple[frozenset[Rule], frozenset[str], int]


class _Remembered:
    """The outlooks of the rules that were asked for lately: true until the first of the times has passed.

    A list has many rows that follow the same rule, and is looked at often between two due times.
    """

    MOST = 4_000
    WITHOUT_TIMES = timedelta(minutes=1)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[_Key, tuple[datetime, datetime, Outlook]] = OrderedDict()

    def get(self, key: _Key, now: datetime) -> Outlook | None:
        with self._lock:
            since, until, found = self._found.get(key, (now, now, None))
            if found is None or not since <= now < until:
                return None
            self._found.move_to_end(key)
            return found

    def put(self, key: _Key, now: datetime, found: Outlook) -> None:
        until = found.times[0] if found.times else now + self.WITHOUT_TIMES
        with self._lock:
            self._found[key] = (now, until, found)
            self._found.move_to_end(key)
            while len(self._found) > self.MOST:
                self._found.popitem(last=False)


_remembered = _Remembered()
