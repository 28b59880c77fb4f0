"""Each reason why a run is no success becomes one sentence with a remedy."""

import itertools
from typing import Any

import pytest

from policies.domain.runs import verdict
from policies.domain.runs.explained import Story, There, explain
from policies.domain.runs.sequence import State
from policies.domain.runs.verdict import Consistency, Facts, Target
from scripts_admin.domain.phases import Outcome

GOOD = Target(returned_before_thaw=True, usable=2, whole=True)
FINE: dict[str, Any] = {
    "before": Outcome.SUCCEEDED,
    "after": Outcome.SUCCEEDED,
    "complete": Outcome.SUCCEEDED,
    "thawed_on_request": True,
    "required": Consistency.APPLICATION,
    "targets": (GOOD, GOOD),
}
NAMES = (("i-1", "It is gone."), ("i-2", ""))


def story(thaw_by: str = "worker", **changed: Any) -> Story:
    facts = Facts(**(FINE | changed))
    return Story(verdict.end_state(facts), facts, thaw_by=thaw_by, targets=NAMES)


@pytest.mark.parametrize(
    ("told", "sentence", "remedy"),
    [
        (story(before=Outcome.FAILED), "before failed, so the snapshots are worth", "before printed"),
        (story(after=Outcome.TIMED_OUT), "after did not end in time", "more time"),
        (story(complete=Outcome.FAILED), "though the snapshots are whole", "complete printed"),
        (story("deadline", thawed_on_request=False), "longest time", "max_freeze_seconds"),
        (story("lost", thawed_on_request=False), "was lost", "server's log"),
        (story(targets=(Target(), GOOD)), "i-1 has no usable snapshot; the other target is whole", "i-1"),
        (story(targets=(Target(usable=1), GOOD)), "i-1 lacks a snapshot of some volume", "i-1"),
        (story(targets=(Target(usable=1, whole=True), GOOD)), "AWS answered for i-1 only after", "fewer"),
        (story(before=Outcome.MISSING), "there is no before script", "Add the before script"),
        (story(after=Outcome.MISSING), "there is no after script", "Add the after script"),
        (story(targets=(Target(), Target())), "No snapshot is usable. i-1: It is gone.", "run it again"),
    ],
)  # fmt: skip
def test_the_first_thing_that_failed_is_said(told: Story, sentence: str, remedy: str) -> None:
    found = explain(told)

    assert told.state in {State.PARTIAL, State.FAILED}
    assert found is not None
    assert sentence in found.sentence
    assert remedy in found.next_step


def test_a_success_needs_no_explanation() -> None:
    assert explain(story()) is None


@pytest.mark.parametrize("state", [State.CANCELLED, State.SKIPPED, State.MISSED])
def test_ends_without_a_verdict_have_their_sentence(state: State) -> None:
    found = explain(Story(state, Facts(), cancelled_by="bob"))

    assert found is not None
    assert found.next_step


def test_every_partial_and_failed_run_has_whole_sentences() -> None:
    outcomes = (
        Outcome.SUCCEEDED,
        Outcome.FAILED,
        Outcome.MISSING,
        Outcome.NOT_RUN,
        Outcome.AMBIGUOUS,
    )
    targets = (GOOD, Target(), Target(usable=1), Target(usable=1, whole=True))
    for before, after, complete, target, required in itertools.product(
        outcomes, outcomes, outcomes, targets, (Consistency.APPLICATION, Consistency.CRASH)
    ):
        told = story(
            before=before, after=after, complete=complete, targets=(target,), required=required
        )
        found = explain(told)
        assert (found is None) == (told.state == State.SUCCEEDED)
        if found is not None:
            for each in found:
                assert each[0].isupper() or each.split()[0] in {
                    "before",
                    "after",
                    "complete",
                    "i-1",
                }
                assert each.endswith(".")


def test_a_test_that_failed_says_so() -> None:
    facts = Facts(
        before=Outcome.FAILED, after=Outcome.SUCCEEDED, is_test=True, thawed_on_request=True
    )

    found = explain(Story(State.FAILED, facts))

    assert found is not None
    assert found.sentence == "before failed, so the test failed."


def test_a_script_that_failed_on_an_instance_is_named_with_it_and_the_cause_before_its_effect() -> (
    None
):
    there = (
        There("i-1", "before", Outcome.NOT_RUN, "before is not run on i-1."),
        There("i-1", "after", Outcome.CRASHED, "It is empty."),
        There("i-2", "before", Outcome.SUCCEEDED),
        There("i-3", "before", Outcome.TIMED_OUT),
    )
    facts = Facts(
        before=Outcome.MISSING, after=Outcome.MISSING, targets=(Target(usable=1, whole=True),)
    )

    found = explain(Story(State.PARTIAL, facts, targets=(("i-1", ""),), on_instances=there))

    assert found is not None
    assert found.sentence == (
        "after could not be started on i-1, and something failed on 1 more, so the snapshots are worth what "
        "a power failure would leave (crash-consistent). It is empty."
    )
    assert found.next_step == "Correct the file of after on i-1 as its problem says, and test it."
