"""Protection: the age of the newest restore point that exists decides, and nothing else."""

from datetime import UTC, datetime, timedelta

from policies.domain import protection
from policies.domain.protection import Limits, Points, State
from tests.ground.properties import given, st

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
moments = st.timedeltas(timedelta(0), 400 * DAY).map(lambda age: NOW - age)
spans = st.timedeltas(HOUR, 60 * DAY)
states = st.sampled_from([State.PROTECTED, State.LATE, State.UNPROTECTED])


def state(points: Points, required: str = "crash", allowed: timedelta = DAY) -> str:
    found = protection.limits(points, required, allowed, NOW)
    return protection.judge(found, NOW, paused=False).in_words(NOW)


def test_a_young_restore_point_protects_whatever_failed_since() -> None:
    assert state(Points(crash=NOW - 23 * HOUR)) == "protected"


def test_one_that_is_older_than_the_objective_is_late() -> None:
    assert state(Points(crash=NOW - 27 * HOUR)) == "late 3 h"


def test_one_of_twice_that_age_is_no_protection_and_the_time_counts_from_the_objective() -> None:
    assert state(Points(crash=NOW - 4 * DAY)) == "unprotected for 3 d"


def test_a_target_that_was_never_backed_up_says_so() -> None:
    assert state(Points()) == "never"


def test_when_all_restore_points_are_gone_nothing_is_protected_at_once() -> None:
    assert state(Points(lost_at=NOW - 5 * timedelta(minutes=1))) == "unprotected for 5 min"


def test_an_older_restore_point_that_is_left_still_counts() -> None:
    assert state(Points(crash=NOW - HOUR, lost_at=NOW)) == "protected"


def test_crash_consistency_does_not_protect_where_application_is_required() -> None:
    points = Points(application=NOW - 27 * HOUR, crash=NOW - HOUR)
    assert state(points, "application") == "late 3 h"
    assert state(points, "crash") == "protected"


def test_a_pause_is_told_with_its_length_and_hides_the_rest() -> None:
    found = protection.judge(protection.NEVER, NOW, paused=True, paused_since=NOW - 9 * DAY)
    assert found.in_words(NOW) == "paused 9 d"
    assert protection.judge(protection.NEVER, NOW, paused=True).in_words(NOW) == "paused"


def test_the_objective_comes_from_the_schedule_with_grace_unless_it_is_set() -> None:
    assert protection.objective(0, DAY) == 26 * HOUR
    assert protection.objective(0, HOUR) == 3 * HOUR
    assert protection.objective(0, 7 * DAY) == 7 * DAY + 14 * HOUR
    assert protection.objective(0, 31 * DAY) == 32 * DAY
    assert protection.objective(8, DAY) == 8 * HOUR
    assert protection.objective(0, None) is None


def test_the_longest_gap_of_a_week_is_the_weekend() -> None:
    friday = datetime(2026, 3, 6, 2, tzinfo=UTC)
    times = [friday - DAY, friday, friday + 3 * DAY, friday + 4 * DAY]
    assert protection.longest_gap(times) == 3 * DAY
    assert protection.longest_gap(times[:1]) is None


def test_a_restore_point_of_the_future_protects_nobody() -> None:
    assert state(Points(crash=NOW + 300 * DAY)) == "late 0 min"


@given(moments, spans)
def test_the_states_follow_each_other_as_time_passes(taken: datetime, allowed: timedelta) -> None:
    found = protection.limits(Points(crash=taken), "crash", allowed, NOW)
    seen = [protection.judge(found, taken + n * allowed / 4, paused=False).state for n in range(12)]
    assert seen == [State.PROTECTED] * 4 + [State.LATE] * 4 + [State.UNPROTECTED] * 4


@given(moments, moments, spans, st.sampled_from(["crash", "application"]))
def test_a_newer_restore_point_never_makes_it_worse(
    first: datetime, second: datetime, allowed: timedelta, required: str
) -> None:
    older, newer = sorted((first, second))
    before = protection.limits(Points(older, older), required, allowed, NOW)
    after = protection.limits(Points(newer, newer), required, allowed, NOW)
    assert before <= after


@given(moments, moments, spans)
def test_what_requires_application_is_never_better_off(
    application: datetime, crash: datetime, allowed: timedelta
) -> None:
    points = Points(application, max(application, crash))
    strict = protection.limits(points, "application", allowed, NOW)
    assert strict <= protection.limits(points, "crash", allowed, NOW)


points = st.one_of(
    st.builds(Points, st.none(), moments, st.none()),
    st.builds(Points, st.none(), st.none(), moments),
    st.just(Points()),
)


@given(st.lists(points, min_size=1), spans)
def test_a_policy_is_as_bad_as_its_worst_target(found: list[Points], allowed: timedelta) -> None:
    each = [protection.limits(one, "crash", allowed, NOW) for one in found]
    together = protection.judge(protection.worst(each), NOW, paused=False)
    ranks = [protection.WORST.index(protection.judge(one, NOW, paused=False).state) for one in each]
    worst = protection.WORST[min(ranks)]
    # A target that was never backed up is told, even where another one has lost all it had.
    never = State.NEVER if any(one == protection.NEVER for one in each) else worst
    assert together.state in {worst, never}


@given(st.lists(moments), spans)
def test_one_target_that_was_never_backed_up_is_told_among_any_others(
    taken: list[datetime], allowed: timedelta
) -> None:
    each = [protection.limits(Points(crash=at), "crash", allowed, NOW) for at in taken]
    found = protection.worst([*each, protection.NEVER])
    assert protection.judge(found, NOW, paused=False).state == State.NEVER


@given(moments, spans)
def test_a_state_that_is_told_with_a_time_began_before_now(
    taken: datetime, allowed: timedelta
) -> None:
    found = protection.judge(Limits(taken, taken + allowed), NOW, paused=False)
    assert found.since is None or found.since <= NOW


@given(st.timedeltas(timedelta(0), 1000 * DAY))
def test_no_span_is_told_longer_than_it_is(span: timedelta) -> None:
    number, unit = protection.span_in_words(span).split()
    size = {"d": DAY, "h": HOUR, "min": timedelta(minutes=1)}[unit]
    assert int(number) * size <= span < (int(number) + 1) * size
