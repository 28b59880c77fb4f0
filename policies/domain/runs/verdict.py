"""What became of a run: after's and complete's arguments, consistency, the end state. Pure."""

from dataclasses import dataclass, field
from enum import StrEnum

from policies.domain.runs.sequence import State
from scripts_admin.domain.phases import FINE, Outcome


class Consistency(StrEnum):
    """What a target's snapshots are worth; PENDING until the thaw has told."""

    PENDING = "pending"
    APPLICATION = "application"
    CRASH = "crash"
    NONE = "none"


_RANK = (Consistency.NONE, Consistency.CRASH, Consistency.APPLICATION)


@dataclass(frozen=True, slots=True)
class Target:
    """One target as it ended. `whole`: every volume expected has a completed snapshot."""

    returned_before_thaw: bool = False
    usable: int = 0
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a run's end is judged by. Outcomes are those of the first attempts."""

    before: Outcome = Outcome.NOT_RUN
    after: Outcome = Outcome.NOT_RUN
    complete: Outcome = Outcome.NOT_RUN
    thawed_on_request: bool = (
        False  # by the worker's word; not by a deadline, a loss or a later attempt
    )
    cancelled: bool = False
    is_test: bool = False  # of a test, only targets that failed are entered
    targets: tuple[Target, ...] = field(default_factory=tuple)


def scripts_were_fine(facts: Facts) -> bool:
    """Tell whether before and after succeeded, or are missing."""
    return facts.before in FINE and facts.after in FINE


def complete_argument(facts: Facts) -> str:
    """Return "1" only if nothing at all failed: it may delete logs."""
    fine = (
        scripts_were_fine(facts)
        and not facts.cancelled
        and facts.thawed_on_request
        and bool(facts.targets)
        and all(target.whole for target in facts.targets)
        # A snapshot that may have been taken after the thaw does not hold what the logs still have.
        and (
            facts.before != Outcome.SUCCEEDED
            or all(target.returned_before_thaw for target in facts.targets)
        )
    )
    return "1" if fine else "0"


def window_consistency(facts: Facts, *, returned_before_thaw: bool) -> Consistency:
    """Return what a whole, usable set of snapshots fired in this window is worth."""
    application = (
        facts.before == Outcome.SUCCEEDED
        and facts.after == Outcome.SUCCEEDED
        and facts.thawed_on_request
        and returned_before_thaw
    )
    return Consistency.APPLICATION if application else Consistency.CRASH


def target_consistency(facts: Facts, target: Target) -> Consistency:
    """Return the target's consistency; without a usable snapshot there is none."""
    if not target.usable:
        return Consistency.NONE
    if not target.whole:
        return Consistency.CRASH
    return window_consistency(facts, returned_before_thaw=target.returned_before_thaw)


def run_consistency(facts: Facts) -> Consistency:
    """Return the worst of the targets' consistencies."""
    found = [target_consistency(facts, target) for target in facts.targets]
    return min(found, key=_RANK.index, default=Consistency.NONE)


def end_state(facts: Facts) -> State:
    """Return the state that the run ends in."""
    if facts.cancelled:
        return State.CANCELLED
    scripts_fine = scripts_were_fine(facts) and facts.complete in FINE
    if facts.is_test:
        tested = (facts.before, facts.after, facts.complete)
        fine = all(o in FINE or o == Outcome.NOT_RUN for o in tested)
        return State.SUCCEEDED if fine and not facts.targets else State.FAILED
    if not any(target.usable for target in facts.targets):
        return State.FAILED
    if scripts_fine and all(target.whole for target in facts.targets):
        return State.SUCCEEDED
    return State.PARTIAL
