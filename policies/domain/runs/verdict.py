"""The verdict on a run: the argument of complete, the consistency and the end state. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from policies.domain.runs.sequence import State
from scripts_admin.domain.phases import FINE, Outcome, Phase


class Consistency(StrEnum):
    """What a target's snapshots are worth; PENDING until the thaw has decided it."""

    PENDING = "pending"
    APPLICATION = "application"
    CRASH = "crash"
    NONE = "none"


class Required(StrEnum):
    """What a policy asks of its snapshots' consistency, so that a run succeeds."""

    AUTO = "auto"  # application where there is a before script, else crash
    APPLICATION = "application"
    CRASH = "crash"


_RANK = (Consistency.NONE, Consistency.CRASH, Consistency.APPLICATION)


@dataclass(frozen=True, slots=True)
class Target:
    """One target at its end. `whole`: every expected volume has a completed snapshot.

    `held`: its own scripts, on the instance, succeeded at their first attempts, and it thawed because it was told to;
    None: it has no scripts of its own. `tried`: in a test, what became of its scripts; None where none could be run.
    `by_itself`: it thawed for another reason than that it was told to.
    """

    returned_before_thaw: bool = False
    usable: int = 0
    whole: bool = False
    held: bool | None = None
    tried: Mapping[Phase, Outcome] | None = None
    by_itself: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that decides a run's end. Outcomes are those of the first attempts."""

    before: Outcome = Outcome.NOT_RUN
    after: Outcome = Outcome.NOT_RUN
    complete: Outcome = Outcome.NOT_RUN
    thawed_on_request: bool = (
        False  # the worker asked for the thaw; it was no deadline, loss or later attempt
    )
    cancelled: bool = False
    required: Consistency = Consistency.CRASH
    is_test: bool = False  # a test enters only targets that failed, or have scripts of their own
    test_phase: str = ""  # a test of one phase; before is followed by after
    targets: tuple[Target, ...] = field(default_factory=tuple)


def required(wish: str, *, has_before: bool) -> Consistency:
    """Return the consistency that a run needs to succeed; `has_before`: a file fits before, whatever it is worth."""
    if wish == Required.APPLICATION or (wish == Required.AUTO and has_before):
        return Consistency.APPLICATION
    return Consistency.CRASH


def scripts_were_fine(facts: Facts) -> bool:
    """Tell whether before and after succeeded, or are missing, on the server and on every instance."""
    there = all(target.held is not False for target in facts.targets)
    return _were_fine_here(facts) and there


def _were_fine_here(facts: Facts) -> bool:
    return facts.before in FINE and facts.after in FINE


def complete_argument(facts: Facts) -> str:
    """Return "1" only if nothing at all failed: complete may delete logs."""
    fine = (
        scripts_were_fine(facts)
        and not facts.cancelled
        and facts.thawed_on_request
        and bool(facts.targets)
        and all(target.whole for target in facts.targets)
        # A snapshot that may have been taken after the thaw cannot replace the logs.
        and all(
            target.returned_before_thaw
            for target in facts.targets
            if facts.before == Outcome.SUCCEEDED or target.held
        )
    )
    return "1" if fine else "0"


def window_consistency(facts: Facts, target: Target) -> Consistency:
    """Return what a whole, usable set of snapshots of the target, fired in this window, is worth.

    Scripts of its own decide where it has some; the server's must not have failed around them.
    """
    if target.held is None:
        held = facts.before == Outcome.SUCCEEDED and facts.after == Outcome.SUCCEEDED
    else:
        held = target.held and _were_fine_here(facts)
    application = held and facts.thawed_on_request and target.returned_before_thaw
    return Consistency.APPLICATION if application else Consistency.CRASH


def target_consistency(facts: Facts, target: Target) -> Consistency:
    """Return the target's consistency; without a usable snapshot there is none."""
    if not target.usable:
        return Consistency.NONE
    if not target.whole:
        return Consistency.CRASH
    return window_consistency(facts, target)


def run_consistency(facts: Facts) -> Consistency:
    """Return the worst of the targets' consistencies."""
    found = [target_consistency(facts, target) for target in facts.targets]
    return min(found, key=_RANK.index, default=Consistency.NONE)


def is_consistent_enough(facts: Facts) -> bool:
    """Tell whether the run reached the consistency that its policy requires."""
    return facts.required != Consistency.APPLICATION or run_consistency(facts) == facts.required


def is_only_crash_consistent(facts: Facts) -> bool:
    """Tell whether there are usable snapshots, but less consistent ones than the policy requires."""
    return run_consistency(facts) == Consistency.CRASH and not is_consistent_enough(facts)


def end_state(facts: Facts) -> State:
    """Return the state that the run ends in."""
    if facts.cancelled:
        return State.CANCELLED
    if facts.is_test:
        return State.SUCCEEDED if _was_tested_well(facts) else State.FAILED
    if not any(target.usable for target in facts.targets):
        return State.FAILED
    fine = scripts_were_fine(facts) and facts.complete in FINE
    if fine and all(target.whole for target in facts.targets) and is_consistent_enough(facts):
        return State.SUCCEEDED
    return State.PARTIAL


def tested(facts: Facts) -> dict[Phase, Outcome]:
    """Return the phases that the test was to run, with their outcomes; a phase without a row has not been run."""
    outcomes = {
        Phase.BEFORE: facts.before,
        Phase.AFTER: facts.after,
        Phase.COMPLETE: facts.complete,
    }
    if not facts.test_phase:
        return outcomes
    asked = {Phase(facts.test_phase)}
    if Phase.BEFORE in asked:
        asked.add(Phase.AFTER)
    return {phase: outcome for phase, outcome in outcomes.items() if phase in asked}


def tested_there(facts: Facts) -> list[tuple[Phase, Outcome]]:
    """Return the same of the scripts on instances."""
    asked = tested(facts)
    tried = [target.tried for target in facts.targets if target.tried is not None]
    return [(phase, outcome) for each in tried for phase, outcome in each.items() if phase in asked]


def _was_tested_well(facts: Facts) -> bool:
    """Tell whether the test did what it was asked to: positive facts only, never the absence of bad ones."""
    here = tested(facts)
    ran = [*here.items(), *tested_there(facts)]
    asked = {outcome for phase, outcome in ran if phase == (facts.test_phase or phase)}
    had_window = set(here) != {Phase.COMPLETE}
    return (
        Outcome.SUCCEEDED in asked
        and all(outcome in FINE for _, outcome in ran)
        and (facts.thawed_on_request or not had_window)
        and all(target.tried is not None and not target.by_itself for target in facts.targets)
    )
