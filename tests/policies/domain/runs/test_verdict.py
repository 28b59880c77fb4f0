"""The verdict on a run: arguments, consistency, end state."""

from dataclasses import replace

import pytest

from policies.domain.runs import verdict
from policies.domain.runs.sequence import State
from policies.domain.runs.verdict import Consistency, Facts, Target
from scripts_admin.domain import phases
from scripts_admin.domain.phases import Outcome

GOOD = Target(returned_before_thaw=True, usable=2, whole=True)
LATE = replace(GOOD, returned_before_thaw=False)
TORN = Target(returned_before_thaw=True, usable=1, whole=False)
NOTHING = Target()
FINE = Facts(
    before=Outcome.SUCCEEDED,
    after=Outcome.SUCCEEDED,
    complete=Outcome.SUCCEEDED,
    thawed_on_request=True,
    targets=(GOOD, GOOD),
)
BAD = sorted(set(Outcome) - set(phases.FINE))


def test_when_all_went_well_it_is_all_one_could_wish_for() -> None:
    assert verdict.complete_argument(FINE) == "1"
    assert verdict.run_consistency(FINE) == Consistency.APPLICATION
    assert verdict.end_state(FINE) == State.SUCCEEDED


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("outcome", BAD)
def test_a_script_that_did_not_succeed_makes_it_partial_and_crash_consistent(
    phase: str, outcome: str
) -> None:
    facts = replace(FINE, **{phase: outcome})  # type: ignore[arg-type]

    assert verdict.complete_argument(facts) == "0"
    assert verdict.run_consistency(facts) == Consistency.CRASH
    assert verdict.end_state(facts) == State.PARTIAL


@pytest.mark.parametrize("outcome", BAD)
def test_a_complete_that_did_not_succeed_makes_it_partial_and_no_less_consistent(
    outcome: Outcome,
) -> None:
    facts = replace(FINE, complete=outcome)

    assert verdict.run_consistency(facts) == Consistency.APPLICATION
    assert verdict.end_state(facts) == State.PARTIAL


@pytest.mark.parametrize("phase", ["before", "after", "complete"])
def test_a_missing_script_is_no_failure(phase: str) -> None:
    facts = replace(FINE, **{phase: Outcome.MISSING})  # type: ignore[arg-type]

    assert verdict.complete_argument(facts) == "1"
    assert verdict.end_state(facts) == State.SUCCEEDED


@pytest.mark.parametrize("phase", ["before", "after"])
def test_only_a_freeze_and_a_thaw_make_it_application_consistent(phase: str) -> None:
    facts = replace(FINE, **{phase: Outcome.MISSING})  # type: ignore[arg-type]

    assert verdict.run_consistency(facts) == Consistency.CRASH


def test_a_thaw_that_nobody_asked_for_is_neither_consistent_nor_completed_with_1() -> None:
    facts = replace(FINE, thawed_on_request=False)

    assert verdict.complete_argument(facts) == "0"
    assert verdict.run_consistency(facts) == Consistency.CRASH


def test_the_run_is_worth_what_its_worst_target_is() -> None:
    for worst, expected in (
        (GOOD, Consistency.APPLICATION),
        (LATE, Consistency.CRASH),
        (TORN, Consistency.CRASH),
        (NOTHING, Consistency.NONE),
    ):
        facts = replace(FINE, targets=(GOOD, worst, GOOD))
        assert verdict.run_consistency(facts) == expected
        assert verdict.target_consistency(facts, GOOD) == Consistency.APPLICATION


@pytest.mark.parametrize("bad", [TORN, NOTHING, LATE])
def test_complete_gets_0_where_a_target_is_not_usable_or_was_late(bad: Target) -> None:
    assert verdict.complete_argument(replace(FINE, targets=(GOOD, bad))) == "0"


def test_complete_gets_0_where_there_is_no_target_or_the_run_was_cancelled() -> None:
    assert verdict.complete_argument(replace(FINE, targets=())) == "0"
    assert verdict.complete_argument(replace(FINE, cancelled=True)) == "0"


@pytest.mark.parametrize(
    ("targets", "end"),
    [
        ((GOOD, TORN), State.PARTIAL),
        ((GOOD, NOTHING), State.PARTIAL),
        ((TORN,), State.PARTIAL),
        ((NOTHING, NOTHING), State.FAILED),
        ((), State.FAILED),
        ((LATE,), State.SUCCEEDED),
    ],
)
def test_the_end_tells_whether_anything_and_whether_everything_is_usable(
    targets: tuple[Target, ...], end: State
) -> None:
    assert verdict.end_state(replace(FINE, targets=targets)) == end


def test_a_cancelled_run_is_cancelled_whatever_it_has_made() -> None:
    for targets in ((GOOD,), (NOTHING,), ()):
        assert verdict.end_state(replace(FINE, cancelled=True, targets=targets)) == State.CANCELLED


def test_a_test_succeeds_when_what_it_tried_did() -> None:
    test = replace(FINE, is_test=True, targets=())

    assert verdict.end_state(test) == State.SUCCEEDED
    assert verdict.end_state(replace(test, after=Outcome.FAILED)) == State.FAILED
    assert verdict.end_state(replace(test, complete=Outcome.TIMED_OUT)) == State.FAILED
    assert verdict.end_state(replace(test, targets=(NOTHING,))) == State.FAILED
    assert verdict.end_state(replace(test, thawed_on_request=False)) == State.FAILED
    assert verdict.run_consistency(test) == Consistency.NONE


@pytest.mark.parametrize("phase", ["", "before", "after", "complete"])
def test_a_test_of_which_nothing_bad_is_known_has_failed_as_nothing_good_is(phase: str) -> None:
    assert verdict.end_state(Facts(is_test=True, test_phase=phase)) == State.FAILED
    gone = Outcome.MISSING
    test = Facts(gone, gone, gone, thawed_on_request=True, is_test=True, test_phase=phase)
    assert verdict.end_state(test) == State.FAILED


@pytest.mark.parametrize("phase", ["before", "after", "complete"])
def test_a_test_of_one_phase_asks_for_no_other_but_after_follows_before(phase: str) -> None:
    before, after, complete = (
        Outcome.SUCCEEDED if one == phase else Outcome.NOT_RUN for one in phases.Phase
    )
    test = Facts(before, after, complete, thawed_on_request=True, is_test=True, test_phase=phase)

    expected = State.FAILED if phase == "before" else State.SUCCEEDED
    assert verdict.end_state(test) == expected
    assert verdict.end_state(replace(test, after=Outcome.SUCCEEDED)) == State.SUCCEEDED


@pytest.mark.parametrize(
    ("wish", "has_before", "expected"),
    [
        ("auto", True, Consistency.APPLICATION),
        ("auto", False, Consistency.CRASH),
        ("application", False, Consistency.APPLICATION),
        ("crash", True, Consistency.CRASH),
    ],
)
def test_a_before_script_requires_application_unless_the_policy_says_otherwise(
    wish: str, *, has_before: bool, expected: Consistency
) -> None:
    assert verdict.required(wish, has_before=has_before) == expected


@pytest.mark.parametrize(
    "facts",
    [
        replace(FINE, targets=(GOOD, LATE)),
        replace(FINE, thawed_on_request=False),
        replace(FINE, after=Outcome.MISSING),
    ],
)
def test_whole_sets_that_are_only_crash_consistent_are_partial_where_more_is_required(
    facts: Facts,
) -> None:
    assert verdict.end_state(facts) == State.SUCCEEDED
    asked = replace(facts, required=Consistency.APPLICATION)
    assert verdict.end_state(asked) == State.PARTIAL
    assert verdict.complete_argument(asked) == verdict.complete_argument(facts)
