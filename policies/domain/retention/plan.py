"""Which restore points of a policy stay, which go, and why. Pure, and the only place that decides it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from policies.domain.retention import choosing, forecast, rules
from policies.domain.retention.points import Hold, Point, Verdict
from policies.domain.retention.rules import NOUNS, Periods, Rules, Unit
from policies.domain.runs.verdict import Consistency

KEEPS_ALL = "the policy keeps every restore point"
IN_THE_FUTURE = "its time is in the future: a clock was wrong"
NOT_OURS = "its snapshots do not bear this server's tag"
NOT_USABLE = "nothing can be restored from it, and there is a newer restore point"
NO_BETTER = "nothing can be restored from it, but there is no newer restore point"
TOO_OLD = "older than everything that the rules keep"


def plan(
    points: Collection[Point],
    kept: Rules,
    holds: Iterable[Hold],
    now: datetime,
    kept_by: str = "",
) -> list[Verdict]:
    """Decide about each restore point of one policy; newest first. `kept_by`: why all of them stay, whatever the rules.

    These never go: the newest usable, the newest application-consistent and the newest proven restore point of
    each target; what is held; what is of the future; what does not bear this server's tag. They cost no place: the
    rules keep what they would keep without them.
    """
    newest_first = sorted(points, key=lambda point: (point.at, point.key), reverse=True)
    # One of the future would take places, and be "the newest".
    counted = [point for point in newest_first if point.targets and point.at <= now]
    zone = ZoneInfo(kept.timezone)
    when = {point.key: rules.periods(point.at, zone) for point in counted}
    ranks = choosing.choose(counted, kept, when)
    ends = forecast.until(counted, kept, ranks, when, now)
    last = {} if kept.keeps_all else _last(counted)
    held = _held(holds, now)
    covered = {(unit, when[key].of(unit)) for key in ranks for unit in NOUNS}

    def decided(point: Point) -> Verdict:
        rank, holding = ranks.get(point.key), held.get(point.key, ())
        whatever = list(_whatever_the_rules(point, counted, now))
        whatever += [KEEPS_ALL] if kept.keeps_all else []
        whatever += [kept_by] if kept_by else []
        if rank is None:
            whatever += last.get(point.key, ())
        reasons = [*whatever, *([rank.in_words] if rank else []), *(h.in_words for h in holding)]
        if not reasons:
            return Verdict(point, keep=False, reasons=(_why_not(point, kept, when, covered),))
        known = [ends[point.key]] if rank else []
        known += [hold.until for hold in holding]
        return Verdict(
            point, keep=True, reasons=tuple(reasons), until=None if whatever else _latest(known)
        )

    return [decided(point) for point in newest_first]


def lasts(points: Collection[Point], now: datetime) -> set[str]:
    """Return the keys of those that are the last usable, application-consistent or proven one of a target.

    All others may go only as long as these exist.
    """
    newest_first = sorted(points, key=lambda point: (point.at, point.key), reverse=True)
    return set(_last([point for point in newest_first if point.targets and point.at <= now]))


def _whatever_the_rules(point: Point, counted: Sequence[Point], now: datetime) -> Iterator[str]:
    if point.at > now:
        yield IN_THE_FUTURE
    elif not point.targets and not (counted and counted[0].at > point.at):
        yield NO_BETTER
    if not point.ours:
        yield NOT_OURS
    if point.kept_by:
        yield point.kept_by


def _last(counted: Sequence[Point]) -> Mapping[str, Sequence[str]]:
    """Return for each restore point what makes it the last of its kind, in words.

    By target: of a policy with two, each could otherwise lose its last one while the other is backed up well.
    """
    seen: set[tuple[str, str]] = set()
    found: defaultdict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for point in counted:
        for target, consistency in point.targets.items():
            kinds = ["usable"]
            kinds += ["application-consistent"] if consistency == Consistency.APPLICATION else []
            kinds += ["proven"] if point.proven else []
            for kind in kinds:
                if (target, kind) not in seen:
                    seen.add((target, kind))
                    found[point.key][kind].append(target)
    return {
        key: [f"the last {kind} one of {', '.join(targets)}" for kind, targets in kinds.items()]
        for key, kinds in found.items()
    }


def _held(holds: Iterable[Hold], now: datetime) -> Mapping[str, Sequence[Hold]]:
    found: defaultdict[str, list[Hold]] = defaultdict(list)
    for hold in holds:
        if hold.until is None or hold.until > now:
            found[hold.point].append(hold)
    return found


def _latest(ends: Sequence[datetime | None]) -> datetime | None:
    """Return the last of the moments; None if one of them is not known."""
    known = [end for end in ends if end is not None]
    return max(known, default=None) if len(known) == len(ends) else None


def _why_not(
    point: Point,
    kept: Rules,
    when: Mapping[str, Periods],
    covered: Collection[tuple[Unit, int]],
) -> str:
    """Return the shortest period of which the rules keep another one."""
    if point.key not in when:
        return NOT_USABLE
    for unit, _ in kept.in_order:
        if unit in NOUNS and (unit, when[point.key].of(unit)) in covered:
            return f"another one of its {NOUNS[unit]} is kept"
    return TOO_OLD
