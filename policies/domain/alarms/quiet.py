"""When an alarm waits: quiet hours of a receiver, and a policy that somebody has muted. Pure.

What says that an application may be frozen, or that such an application is thawed, never waits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from policies.domain.alarms import messages
from policies.domain.alarms.messages import AlarmKind
from policies.domain.schedules import disabled
from policies.domain.schedules.disabled import DisabledTime

MOST_TIMES = 20
LONGEST_MUTE = timedelta(days=30)
# Quiet hours may last a long weekend. After that, whatever a clock or a rule says, the message goes out.
LONGEST_QUIET = timedelta(days=4)
_MINUTE = timedelta(minutes=1)
_WEEK_MINUTES = 7 * 24 * 60


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Times of the week, in a time zone, at which a receiver wants no message that can wait."""

    times: tuple[DisabledTime, ...]
    zone: ZoneInfo

    def holds(self, at: datetime) -> bool:
        wall = at.astimezone(self.zone)
        return any(each.holds(wall) for each in self.times)

    def until(self, now: datetime) -> datetime | None:
        """Return when the quiet that holds now is over, `LONGEST_QUIET` from now at most; None if it is not quiet."""
        if not self.holds(now):
            return None
        last = now + LONGEST_QUIET
        at = now.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE
        while at < last:  # an hour that a zone leaves out or repeats needs no case of its own
            if not self.holds(at):
                return at
            at += _MINUTE
        return last


def may_wait(kind: AlarmKind, *, ends_a_freeze: bool = False) -> bool:
    """Tell whether a message of this kind can wait. Pings are for programs, which do not sleep."""
    if kind in messages.PINGS or kind == AlarmKind.MAY_BE_FROZEN:
        return False
    return not ends_a_freeze


def held_until(
    kind: AlarmKind,
    now: datetime,
    *,
    quiet: QuietHours | None = None,
    muted_until: datetime | None = None,
    ends_a_freeze: bool = False,
) -> datetime | None:
    """Return until when the message waits, or None if it goes out now."""
    if not may_wait(kind, ends_a_freeze=ends_a_freeze):
        return None
    ends = [
        quiet.until(now) if quiet else None,
        muted_until if is_muted(muted_until, now) else None,
    ]
    return max((end for end in ends if end), default=None)


def is_muted(until: datetime | None, now: datetime) -> bool:
    """Tell whether a mute holds; one that is further ahead than any can be is from before the clock was set back."""
    return until is not None and now < until <= now + LONGEST_MUTE + _MINUTE


def parse(lines: Sequence[str]) -> tuple[DisabledTime, ...]:
    """Return the times of the lines; ValueError, with a sentence, if one is none or if no time of the week is left."""
    times = tuple(disabled.parse(line) for line in lines)
    if len(times) > MOST_TIMES:
        message = f"These are {len(times)} quiet times, but at most {MOST_TIMES} are allowed."
        raise ValueError(message)
    if _fills_the_week(times):
        message = (
            "The quiet hours fill the whole week, so no message would ever come: leave some hours free, or remove "
            "the receiver."
        )
        raise ValueError(message)
    return times


def _fills_the_week(times: Sequence[DisabledTime]) -> bool:
    monday = datetime(2024, 1, 1, tzinfo=UTC)
    minutes = (monday + n * _MINUTE for n in range(0, _WEEK_MINUTES, 1))
    return bool(times) and all(any(each.holds(at) for each in times) for at in minutes)
