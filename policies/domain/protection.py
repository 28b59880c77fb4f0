"""Protection: how old a target's newest restore point may be, and since when it is too old. Pure.

The age counts, not the errors: a failed run is no problem while the newest restore point is young enough. Only
restore points whose snapshots exist are handed in.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from policies.domain.runs.verdict import Consistency

# A policy that has never been backed up was protected until then: it sorts before all others.
NEVER_UNTIL = datetime(1970, 1, 1, tzinfo=UTC)
SHORTEST_GRACE = timedelta(hours=2)
LONGEST_GRACE = timedelta(days=1)
GRACE_SHARE = 12
_DAY_SECONDS, _HOUR_SECONDS, _MINUTE_SECONDS = 86_400, 3_600, 60
_HOURS_IN_WORDS = 2 * _DAY_SECONDS  # below it, a span is told in hours


class State(StrEnum):
    """What a target's, or a policy's, restore points are worth now. The order of `WORST` is the order of lists."""

    PROTECTED = "protected"
    LATE = "late"  # older than the objective
    UNPROTECTED = "unprotected"  # older than twice the objective, or gone
    NEVER = "never"  # there has never been a restore point
    PAUSED = "paused"  # nothing starts by itself, so nothing is promised


WORST = (State.UNPROTECTED, State.NEVER, State.LATE, State.PAUSED, State.PROTECTED)


class Points(NamedTuple):
    """When the newest restore points of a target were made. None: there is none.

    `crash` is the newest of at least that consistency, so it is never older than `application`. `lost_at` is when
    the newest one was found to be gone; None if it is still there.
    """

    application: datetime | None = None
    crash: datetime | None = None
    lost_at: datetime | None = None


class Limits(NamedTuple):
    """The moments between which a target, or a policy, is late: from `until` on, and before `unprotected_from`."""

    until: datetime
    unprotected_from: datetime


NEVER = Limits(NEVER_UNTIL, NEVER_UNTIL)


class Judgement(NamedTuple):
    """A state, and since when; None for protected, never, and a pause of which the beginning is not known."""

    state: State
    since: datetime | None = None

    def in_words(self, now: datetime) -> str:
        """Return the state as pages show it: "unprotected for 3 d"."""
        if self.since is None or self.state in {State.PROTECTED, State.NEVER}:
            return self.state.value
        joint = " for " if self.state == State.UNPROTECTED else " "
        return f"{self.state}{joint}{span_in_words(now - self.since)}"


def objective(rpo_hours: int, longest_gap: timedelta | None) -> timedelta | None:
    """Return how old a restore point may be: as set, else from the schedules; None if there is neither.

    From the schedules: the longest time between two runs, and a grace in which the run is made.
    """
    if rpo_hours:
        return timedelta(hours=rpo_hours)
    if longest_gap is None:
        return None
    return longest_gap + min(max(longest_gap / GRACE_SHARE, SHORTEST_GRACE), LONGEST_GRACE)


def longest_gap(times: Sequence[datetime]) -> timedelta | None:
    """Return the longest time between two neighbours of the sorted moments; None if there are fewer than two."""
    return max((later - earlier for earlier, later in pairwise(times)), default=None)


def limits(points: Points, required: str, allowed: timedelta, now: datetime) -> Limits:
    """Return until when a target is protected, by the restore points that the policy requires.

    A restore point of the future was made while the clock was ahead. Nobody knows its age, so it counts as just
    too old.
    """
    taken = points.application if required == Consistency.APPLICATION else points.crash
    if taken is None:
        return NEVER if points.lost_at is None else Limits(points.lost_at, points.lost_at)
    if taken > now + timedelta(minutes=1):
        return Limits(now, now + allowed)
    return Limits(taken + allowed, taken + 2 * allowed)


def worst(found: Iterable[Limits]) -> Limits:
    """Return the limits of the target that is in most danger; without a target, nothing was ever backed up."""
    each = list(found) or [NEVER]
    # Apart: a target that lost everything just now may be worse off than one that is late for longer.
    return Limits(min(one.until for one in each), min(one.unprotected_from for one in each))


def judge(
    found: Limits, now: datetime, *, paused: bool, paused_since: datetime | None = None
) -> Judgement:
    """Return the state at this moment."""
    if paused:
        return Judgement(State.PAUSED, paused_since)
    if found.until <= NEVER_UNTIL:
        return Judgement(State.NEVER)
    if found.unprotected_from <= now:
        return Judgement(State.UNPROTECTED, found.until)
    if found.until <= now:
        return Judgement(State.LATE, found.until)
    return Judgement(State.PROTECTED)


def span_in_words(span: timedelta) -> str:
    """Return a span in its largest unit, rounded down: "3 d", "5 h" or "12 min"."""
    seconds = max(0, int(span.total_seconds()))
    if seconds >= _HOURS_IN_WORDS:
        return f"{seconds // _DAY_SECONDS} d"
    if seconds >= _HOUR_SECONDS:
        return f"{seconds // _HOUR_SECONDS} h"
    return f"{seconds // _MINUTE_SECONDS} min"
