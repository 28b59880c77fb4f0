"""The rules once more, as slowly and plainly as possible: what `plan` is compared with."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from policies.domain.retention.points import Point
from policies.domain.retention.rules import Rules
from policies.domain.runs.verdict import Consistency

APPLICATION, CRASH, NONE = Consistency.APPLICATION, Consistency.CRASH, Consistency.NONE
ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Australia/Lord_Howe")
FIRST = datetime(
    2007, 1, 1, tzinfo=UTC
)  # has Apia's lost day and the last changes at 00:01 of St. John's in it
TEN_YEARS_IN_MINUTES = 10 * 366 * 24 * 60


def point(
    at: datetime,
    key: str = "",
    consistency: Consistency = APPLICATION,
    targets: Iterable[str] = ("i-1",),
    *,
    proven: bool = False,
    ours: bool = True,
) -> Point:
    worth = dict.fromkeys(targets, consistency)
    return Point(key or at.isoformat(), at, consistency, worth, proven, ours)


def kept(points: Sequence[Point], rules: Rules) -> set[str]:
    """Return what the rules alone keep, of points that are all usable."""
    zone = ZoneInfo(rules.timezone)
    newest_first = sorted(points, key=lambda p: (p.at, p.key), reverse=True)
    marks: dict[str, str] = {p.key: "keep" for p in newest_first[: rules.generations]}
    for number, name in (
        (rules.keep_last, lambda p: p.key),
        (rules.daily, lambda p: local(p, zone).strftime("%Y/%m/%d")),
        (rules.weekly, lambda p: local(p, zone).strftime("%G/%V")),
        (rules.monthly, lambda p: local(p, zone).strftime("%Y/%m")),
        (rules.yearly, lambda p: local(p, zone).strftime("%Y")),
    ):
        _mark(newest_first, marks, number, name)
    return {key for key, mark in marks.items() if mark == "keep"}


def local(point: Point, zone: ZoneInfo) -> datetime:
    return point.at.astimezone(zone)


def _mark(
    newest_first: Sequence[Point],
    marks: dict[str, str],
    number: int,
    name: Callable[[Point], str],
) -> None:
    covered = {name(p) for p in newest_first if marks.get(p.key) == "keep"}
    chosen: list[str] = []
    for one in newest_first:
        if one.key in marks or name(one) in covered:
            continue
        if name(one) not in chosen:
            if len(chosen) >= number:
                break
            chosen.append(name(one))
    for period in chosen:
        same = [p for p in newest_first if p.key not in marks and name(p) == period]
        order = {APPLICATION: 2, CRASH: 1, NONE: 0}
        for one in same:
            better = [
                other
                for other in same
                if (other.proven, order[other.consistency], other.at, other.key)
                > (one.proven, order[one.consistency], one.at, one.key)
            ]
            marks[one.key] = "remove" if better else "keep"


def every(span: timedelta, number: int, until: datetime) -> list[Point]:
    """Return so many restore points at the same distance, the newest at `until`."""
    return [point(until - n * span, f"r{n}") for n in range(number)]


def days(points: Iterable[Point], zone: str = "UTC") -> list[date]:
    return [one.at.astimezone(ZoneInfo(zone)).date() for one in points]
