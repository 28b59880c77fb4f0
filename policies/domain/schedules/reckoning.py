"""What becomes of the due times that have passed. Pure: each of them is run, skipped or missed, exactly once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import NamedTuple

from policies.domain.schedules import schedule
from policies.domain.schedules.schedule import Due, Rule

LATE = timedelta(hours=1)  # from here on a due time is not made good any more
AT_ONCE = 20_000  # due times of all schedules in one reckoning; the rest is the next one's
_SECOND = timedelta(seconds=1)


class Span(NamedTuple):
    """Due times that are told together: the first, the last and how many."""

    first: datetime
    last: datetime
    number: int


@dataclass(frozen=True, slots=True)
class Reckoning:
    """`run`: to be started now. `missed`, `skipped`: to be told. `next_at`: the due time that comes then."""

    next_at: datetime | None
    run: Due | None = None
    missed: Span | None = None
    skipped: Span | None = None
    disabled: tuple[str, ...] = ()  # by which times the last of the skipped was disabled
    held: tuple[str, ...] = ()  # by which times a late run is disabled now; it counts as missed


def reckon(rules: Mapping[str, Rule], since: datetime, now: datetime) -> Reckoning:
    """Return what becomes of the due times from `since`, itself included, to `now`.

    The newest is run when it is less than an hour late and not disabled, neither when it was due nor now.
    """
    ahead = schedule.due(rules, since - _SECOND)
    passed = list(
        islice(takewhile(lambda one: one.at <= now, ahead), AT_ONCE // max(1, len(rules)))
    )
    next_at = following(rules, passed[-1].at if passed else now)
    open_ones = [one for one in passed if one.names]
    closed = [one for one in passed if not one.names]
    run = _in_time(open_ones, next_at, now)
    held = schedule.held({name: rules[name] for name in run.names}, now) if run else ()
    if held:
        run = None
    return Reckoning(
        next_at=next_at,
        run=run,
        missed=_span(open_ones[:-1] if run else open_ones),
        skipped=_span(closed),
        disabled=closed[-1].disabled if closed else (),
        held=held,
    )


def following(rules: Mapping[str, Rule], after: datetime) -> datetime | None:
    """Return the first due time after the moment, None where there is none."""
    return next((one.at for one in schedule.due(rules, after)), None)


def _in_time(open_ones: Sequence[Due], next_at: datetime | None, now: datetime) -> Due | None:
    all_seen = next_at is None or next_at > now
    newest = open_ones[-1] if open_ones and all_seen else None
    return newest if newest and now - newest.at < LATE else None


def _span(ones: Sequence[Due]) -> Span | None:
    return Span(ones[0].at, ones[-1].at, len(ones)) if ones else None
