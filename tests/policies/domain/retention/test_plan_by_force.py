"""Whatever the restore points, zones and rules: the plan is what a slow and plain reading says, and safe."""

from datetime import datetime, timedelta

from policies.domain.retention.plan import plan
from policies.domain.retention.points import Hold, HoldKind, Point
from policies.domain.retention.rules import Rules
from tests.ground.properties import given, settings, st
from tests.policies.domain.retention import brute
from tests.policies.domain.retention.brute import APPLICATION, CRASH, FIRST, NONE

MOMENTS = st.integers(0, brute.TEN_YEARS_IN_MINUTES).map(
    lambda minutes: FIRST + timedelta(minutes=minutes)
)
# Many close together, many at the borders of days, some anywhere.
CLOSE = st.tuples(MOMENTS, st.lists(st.integers(0, 200), min_size=1, max_size=20)).map(
    lambda found: [found[0] + timedelta(hours=7 * n) for n in found[1]]
)
NUMBERS = st.integers(0, 6)
RULES = st.builds(
    Rules,
    keep_last=NUMBERS,
    daily=NUMBERS,
    weekly=NUMBERS,
    monthly=NUMBERS,
    yearly=NUMBERS,
    timezone=st.sampled_from(brute.ZONES),
) | st.builds(Rules, generations=st.integers(1, 12), timezone=st.sampled_from(brute.ZONES))


@st.composite
def points(draw: st.DrawFn, *, usable: bool = False) -> list[Point]:
    moments = [*draw(CLOSE), *draw(st.lists(MOMENTS, max_size=15))]
    return [
        brute.point(
            at,
            f"r{number}",
            draw(st.sampled_from((APPLICATION, CRASH, NONE))),
            draw(st.sets(st.sampled_from(("i-1", "i-2")), min_size=int(usable))),
            proven=draw(st.booleans()),
            ours=usable or draw(st.integers(0, 9)) > 0,
        )
        for number, at in enumerate(moments)
    ]


@settings(max_examples=60)
@given(points(usable=True), RULES)
def test_the_rules_keep_what_a_plain_reading_keeps(found: list[Point], rules: Rules) -> None:
    if rules.keeps_all:
        return
    now = max(one.at for one in found)
    by_rule = {
        verdict.point.key
        for verdict in plan(found, rules, [], now)
        if any(f" of {number}" in verdict.reasons[-1] for _, number in rules.in_order)
        and verdict.keep
        and "the last" not in verdict.reasons[-1]
    }
    assert by_rule == brute.kept(found, rules)


@settings(max_examples=60)
@given(points(), RULES, MOMENTS, st.data())
def test_no_plan_removes_what_must_stay(
    found: list[Point], rules: Rules, now: datetime, data: st.DataObject
) -> None:
    now = data.draw(st.just(now) | st.just(max(one.at for one in found)))
    held = {data.draw(st.sampled_from(found)).key} if data.draw(st.booleans()) else set()
    holds = [Hold(key, HoldKind.FREEZER, "") for key in held]
    verdicts = plan(found, rules, holds, now)
    assert sorted(v.point.key for v in verdicts) == sorted(one.key for one in found)
    left = [v.point for v in verdicts if v.keep]
    gone = [v.point for v in verdicts if not v.keep]
    assert not [one for one in gone if one.key in held or one.at > now or not one.ours]
    past = [one for one in found if one.at <= now]
    for target in ("i-1", "i-2"):
        for one in past:
            if target in one.targets:
                _some_newer_stays(one, target, left, now)
    assert all(verdict.reasons for verdict in verdicts)


def _some_newer_stays(one: Point, target: str, left: list[Point], now: datetime) -> None:
    """At least the newest of its kind stays."""
    stay = [p for p in left if target in p.targets and p.at <= now and p.at >= one.at]
    assert stay
    if one.targets[target] == APPLICATION:
        assert [p for p in stay if p.targets[target] == APPLICATION]
    if one.proven:
        assert [p for p in stay if p.proven]


@settings(max_examples=40)
@given(points(), RULES, st.lists(RULES, max_size=4), st.data())
def test_no_sequence_of_edits_failures_and_jumps_removes_the_last(
    found: list[Point], rules: Rules, edits: list[Rules], data: st.DataObject
) -> None:
    """Rules and zones change, the clock is anywhere, restore points vanish or fail; each time, what goes, goes."""
    left, real = list(found), max(one.at for one in found)
    for step, edited in enumerate([rules, *edits]):
        now = real + timedelta(days=data.draw(st.integers(-4000, 4000)))
        new = brute.point(now, f"new{step}", data.draw(st.sampled_from((APPLICATION, CRASH))))
        left = [one for one in left if data.draw(st.integers(0, 9)) > 0] + [new]
        newest = {
            (target, kind): _newest(left, target, kind, now)
            for target in ("i-1", "i-2")
            for kind in ("usable", "application", "proven")
        }
        left = [verdict.point for verdict in plan(left, edited, [], now) if verdict.keep]
        for key in filter(None, newest.values()):
            assert key in {one.key for one in left}


def _newest(found: list[Point], target: str, kind: str, now: datetime) -> str | None:
    fit = [one for one in found if target in one.targets and one.at <= now]
    if kind == "application":
        fit = [one for one in fit if one.targets[target] == APPLICATION]
    if kind == "proven":
        fit = [one for one in fit if one.proven]
    return max(fit, key=lambda one: (one.at, one.key)).key if fit else None


@settings(max_examples=40)
@given(points(), RULES)
def test_a_plan_that_was_carried_out_has_nothing_left_to_do(
    found: list[Point], rules: Rules
) -> None:
    now = max(one.at for one in found)
    left = [verdict.point for verdict in plan(found, rules, [], now) if verdict.keep]
    again = plan(left, rules, [], now)
    assert [verdict.point.key for verdict in again if not verdict.keep] == []
