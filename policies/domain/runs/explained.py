"""Why a run ended as it did, in one sentence, and what to do next. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from policies.domain.runs import verdict
from policies.domain.runs.sequence import State
from policies.domain.runs.verdict import Consistency, Facts
from scripts_admin.domain.phases import FINE, Outcome, Phase, ThawBy


class Explained(NamedTuple):
    sentence: str
    next_step: str


class There(NamedTuple):
    """How the first attempt of a script on an instance ended; `problem` is why it could not run there."""

    instance: str
    phase: str
    outcome: Outcome
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Story:
    """What is known of a run that has ended. `targets` are names and reasons, in the order of the facts' targets."""

    state: State
    facts: Facts
    reason: str = ""
    thaw_by: str = ""
    cancelled_by: str = ""
    problems: Mapping[str, str] = field(default_factory=dict)
    targets: tuple[tuple[str, str], ...] = ()
    on_instances: tuple[There, ...] = ()


_DID = {
    Outcome.FAILED: "failed",
    Outcome.TIMED_OUT: "did not end in time",
    Outcome.CRASHED: "could not be started",
    Outcome.INTERRUPTED: "was interrupted",
    Outcome.AMBIGUOUS: "was not run, because two files fit it",
    Outcome.NOT_RUN: "was not run",
}
_REPAIR = {
    Outcome.FAILED: "Read what {} printed, correct the script, and test it.",
    Outcome.TIMED_OUT: "Find out what {} waits for, or give it more time, and test it.",
    Outcome.CRASHED: "Correct the file of {} as its problem says, and test it.",
    Outcome.INTERRUPTED: "Look at the events below for what ended {}, and run it again.",
    Outcome.AMBIGUOUS: "Leave one file for {}, and rename or remove the other.",
    Outcome.NOT_RUN: "Look at the events below for why {} was not run.",
}
_WORTH = "the snapshots are worth what a power failure would leave (crash-consistent)"


def explain(story: Story) -> Explained | None:
    """Return the first thing that kept the run from success, with its remedy; None if nothing did."""
    if story.state == State.SUCCEEDED:
        return None
    if story.state in _OF_A_STATE:
        return _OF_A_STATE[story.state]
    if story.state == State.CANCELLED:
        who = story.cancelled_by or "somebody"
        return Explained(
            f"{who} cancelled the run.", "Run it again when nothing speaks against it."
        )
    if story.state not in {State.PARTIAL, State.FAILED}:
        return None
    return next(_why(story), _unknown(story))


_OF_A_STATE = {
    State.SKIPPED: Explained(
        "An earlier run of the policy had not ended when this one was due.",
        "Look at that run; if it is always so, let the policy run less often.",
    ),
    State.MISSED: Explained(
        "The server did not work when the run was due, and it was too late afterwards.",
        "Run it now, if the next due time is too far away.",
    ),
}


def _why(story: Story) -> Iterator[Explained]:
    facts = story.facts
    if facts.is_test:
        yield from _of_scripts(story, "so the test failed")
        yield from _of_instances(story, "so the test failed")
        return
    usable = [target.usable > 0 for target in facts.targets]
    if not any(usable):
        yield from _nothing(story)
        return
    window = (Phase.BEFORE, Phase.AFTER)
    yield from _of_scripts(story, f"so {_WORTH}", window)
    yield from _of_instances(story, f"so {_WORTH}")
    if story.thaw_by in _AUTOMATIC:
        why, remedy = _AUTOMATIC[ThawBy(story.thaw_by)]
        yield Explained(f"{why}, so {_WORTH}.", remedy)
    yield from _of_targets(story)
    yield from _of_scripts(
        story,
        "though the snapshots are whole; what complete does may be left undone",
        (Phase.COMPLETE,),
    )
    yield from _of_consistency(story)


_AUTOMATIC: Mapping[str, tuple[str, str]] = {
    ThawBy.DEADLINE: (
        "The freeze came to its longest time, and the server thawed by itself",
        "Look at the timeline for what took so long; let before do less, or raise max_freeze_seconds.",
    ),
    ThawBy.LOST: (
        "The process that kept the window was lost, and the server thawed by itself",
        "Look at the events below and at the server's log, then run it again.",
    ),
    ThawBy.INSTANCE: (
        "An instance thawed by itself, before the server asked it to",
        "Look at the scripts on the instances below for which one, and why; then run it again.",
    ),
}


def _nothing(story: Story) -> Iterator[Explained]:
    if story.facts.before not in FINE and not any(
        t.returned_before_thaw for t in story.facts.targets
    ):
        yield from _of_scripts(story, "and no snapshot is usable", (Phase.BEFORE,))
    named = [f"{name}: {reason}" for name, reason in story.targets if reason]
    if named:
        yield Explained(
            f"No snapshot is usable. {_first(named)}", "Correct that, and run it again."
        )
    if story.reason:
        yield Explained(
            f"No snapshot is usable. {_ended(story.reason)}", "Correct that, and run it again."
        )
    yield Explained("No snapshot is usable.", "Look at the targets and the events below.")


def _of_scripts(
    story: Story, so: str, phases: tuple[Phase, ...] = tuple(Phase)
) -> Iterator[Explained]:
    outcomes = verdict.tested(story.facts)
    for phase in phases:
        outcome = outcomes.get(phase, Outcome.MISSING)
        if outcome in FINE:
            continue
        problem = story.problems.get(phase, "")
        sentence = f"{phase} {_DID.get(outcome, outcome)}, {so}."
        yield Explained(f"{sentence} {problem}".strip(), _REPAIR[outcome].format(phase))


def _of_instances(story: Story, so: str) -> Iterator[Explained]:
    """Yield the first script of an instance that failed; what was only not run because of another comes last."""
    asked = verdict.tested(story.facts) if story.facts.is_test else tuple(Phase)
    failed = [
        each for each in story.on_instances if each.outcome not in FINE and each.phase in asked
    ]
    for first in sorted(failed, key=lambda each: each.outcome == Outcome.NOT_RUN):
        others = {each.instance for each in failed} - {first.instance}
        more = f", and something failed on {len(others)} more" if others else ""
        sentence = f"{first.phase} {_DID[first.outcome]} on {first.instance}{more}, {so}."
        yield Explained(
            f"{sentence} {first.problem}".strip(),
            _REPAIR[first.outcome].format(f"{first.phase} on {first.instance}"),
        )


def _of_targets(story: Story) -> Iterator[Explained]:
    every = list(zip(story.facts.targets, story.targets, strict=False))
    for words, chosen in (
        ("has no usable snapshot", [t for t in every if not t[0].usable]),
        ("lacks a snapshot of some volume", [t for t in every if t[0].usable and not t[0].whole]),
    ):
        if chosen:
            _, (name, reason) = chosen[0]
            more = f", and {len(chosen) - 1} more," if len(chosen) > 1 else ""
            sentence = f"{name}{more} {words}{_others(len(every) - len(chosen))}."
            yield Explained(
                f"{sentence} {_ended(reason)}".strip(),
                f"Correct what the target {name} says, and run it again.",
            )


def _of_consistency(story: Story) -> Iterator[Explained]:
    facts = story.facts
    if facts.required != Consistency.APPLICATION or verdict.is_consistent_enough(facts):
        return
    late = [
        name
        for target, (name, _) in zip(facts.targets, story.targets, strict=False)
        if not target.returned_before_thaw
    ]
    if facts.before == Outcome.SUCCEEDED and late:
        yield Explained(
            f"AWS answered for {', '.join(late[:3])} only after the thaw had begun, so {_WORTH}.",
            "Run it again; if it happens often, let after begin later, or back up fewer volumes at a time.",
        )
    missing = next(
        (
            phase
            for phase in (Phase.BEFORE, Phase.AFTER)
            if verdict.tested(facts)[phase] == Outcome.MISSING
        ),
        None,
    )
    if missing:
        yield Explained(
            f"The policy requires application consistency, and there is no {missing} script, so {_WORTH}.",
            f"Add the {missing} script, or let the policy require crash consistency only.",
        )
    yield Explained(
        f"The policy requires application consistency, and {_WORTH}.",
        "Look at the scripts and the timeline below.",
    )


def _unknown(story: Story) -> Explained:
    return Explained(
        _ended(story.reason) or f"The run ended {story.state}.",
        "Look at the scripts, the targets and the events below.",
    )


def _first(names: list[str]) -> str:
    more = len(names) - 1
    return _ended(names[0]) if not more else f"{_ended(names[0])} {more} more are like it."


def _ended(sentence: str) -> str:
    """Return it as a whole sentence."""
    text = sentence.strip()
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def _others(number: int) -> str:
    if not number:
        return ""
    return (
        "; the other target is whole" if number == 1 else f"; the other {number} targets are whole"
    )
