"""About when the rules let a restore point go, if backups go on as before and nobody changes the rules. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from policies.domain.retention import rules
from policies.domain.retention.choosing import Rank
from policies.domain.retention.points import Point
from policies.domain.retention.rules import NOUNS, Periods, Rules, Unit

_ABOUT = {
    Unit.DAILY: timedelta(days=1),
    Unit.WEEKLY: timedelta(weeks=1),
    Unit.MONTHLY: timedelta(days=30),
}
_SPANS_LOOKED_AT = 10  # how often backups are made is seen from the newest ones


class _Ground(NamedTuple):
    """What is the same for all restore points of a policy."""

    kept: Rules
    zone: ZoneInfo
    now: datetime
    newest: Point
    span: timedelta | None  # between two backups, about; None: nobody knows
    when: Mapping[str, Periods]
    # By unit and key: the next newer one that stays when the unit's rule has done its work.
    rivals: Mapping[tuple[Unit, str], Point]
    firsts: Mapping[Unit, int]  # the newest period that a rule covers


def until(
    newest_first: Sequence[Point],
    kept: Rules,
    ranks: Mapping[str, Rank],
    when: Mapping[str, Periods],
    now: datetime,
) -> Mapping[str, datetime | None]:
    """Return for each restore point that the rules keep about when they let it go; None: nobody knows."""
    if not ranks:
        return {}
    newest, looked_at = newest_first[0], newest_first[: _SPANS_LOOKED_AT + 1]
    spans = len(looked_at) - 1
    ground = _Ground(
        kept=kept,
        zone=ZoneInfo(kept.timezone),
        now=now,
        newest=newest,
        span=(newest.at - looked_at[-1].at) / spans if spans else None,
        when=when,
        firsts={
            rank.unit: when[key].of(rank.unit)
            for key, rank in ranks.items()
            if rank.place == 1 and rank.unit in NOUNS
        },
        rivals=_rivals([point for point in newest_first if point.key in ranks], kept, when),
    )
    found = (point for point in newest_first if point.key in ranks)
    return {point.key: _leaves(point, ranks[point.key], ground) for point in found}


def _rivals(
    newest_first: Sequence[Point], kept: Rules, when: Mapping[str, Periods]
) -> Mapping[tuple[Unit, str], Point]:
    found: dict[tuple[Unit, str], Point] = {}
    for unit, _ in kept.in_order:
        if unit not in NOUNS:
            found |= {(unit, older.key): newer for newer, older in pairwise(newest_first)}
            continue
        best: dict[int, Point] = {}
        for point in newest_first:
            period = when[point.key].of(unit)
            best[period] = max(best.get(period, point), point, key=lambda one: one.worth)
        for newer, older in pairwise(best.values()):
            found[unit, older.key] = newer
    return found


def _leaves(point: Point, rank: Rank, ground: _Ground) -> datetime | None:
    """Return when its rule lets it go, or the last of the later rules that take it over."""
    gone = _leaves_rule(rank, ground)
    if gone is None:
        return None
    units = [unit for unit, _ in ground.kept.in_order]
    before = rank.unit
    for unit, number in ground.kept.in_order[units.index(before) + 1 :]:
        if not _stays_best(point, before, unit, ground):
            break
        gone = rules.later(gone, unit, number, ground.zone)
        before = unit
    return gone


def _leaves_rule(rank: Rank, ground: _Ground) -> datetime | None:
    """It goes when as many newer periods have come as there are places from its own to the last.

    A period comes to a rule when the rules before it let its restore points go.
    """
    if ground.span is None:
        return None
    missing = rank.of - rank.place + 1
    late = max(ground.now - ground.newest.at - ground.span, timedelta())
    if rank.unit not in NOUNS:
        end = ground.newest.at + missing * ground.span
    else:
        first = ground.firsts[rank.unit] + missing + 1
        end = rules.begins(rank.unit, first, ground.zone) + _reach(rank.unit, ground)
    return max(end + late, ground.now)


def _reach(unit: Unit, ground: _Ground) -> timedelta:
    """Return about how far back the rules before this one reach."""
    reach = timedelta()
    for before, number in ground.kept.in_order:
        if before == unit:
            break
        reach += number * (_ABOUT.get(before) or ground.span or timedelta())
    return reach


def _stays_best(point: Point, before: Unit, unit: Unit, ground: _Ground) -> bool:
    """Tell whether it is the best of its period among those that the rule before leaves."""
    rival = ground.rivals.get((before, point.key))
    if rival is not None:
        period = ground.when[rival.key].of(unit)
        return period != ground.when[point.key].of(unit) or rival.worth < point.worth
    following = _following(point, before, ground)
    return rules.periods(following, ground.zone).of(unit) != ground.when[point.key].of(unit)


def _following(point: Point, before: Unit, ground: _Ground) -> datetime:
    """Return about when the next one is made that the rule before will leave: the last of a period."""
    if before in NOUNS:
        period = ground.when[point.key].of(before)
        return rules.begins(before, period + 2, ground.zone) - timedelta(minutes=1)
    return point.at + (ground.span or timedelta())
