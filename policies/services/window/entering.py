"""The events of a window, entered into the rows after the thaw, with their original times.

Only the holder of the run's keeper lock calls this: the worker that kept the window, or the watchdog
if that worker died.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from n2wbackup.lib import clock, compiled, outages, storable
from policies.domain.runs.sequence import Event, State
from policies.domain.runs.verdict import window_consistency
from policies.models import PhaseResult, Run, RunTarget
from policies.ports import Snapshot
from policies.selectors.worth import worth
from policies.services import runs
from policies.services.window import answers, heard, late, moments, outputs, ran
from policies.services.window.volley import Fired
from scripts_admin.domain.phases import Outcome, Phase, ThawBy
from scripts_admin.guard import journal as journals
from scripts_admin.guard import linux, spool
from scripts_admin.guard import thaw as thaws
from scripts_admin.guard.journal import Attempt, Journal
from scripts_admin.guard.on_instances import WORKER

log = logging.getLogger(__name__)

PATIENCE_SECONDS = (
    10.0  # for instances to tell that they thawed by themselves: then people are alarmed
)
NOT_FIRED = "No snapshot was fired, because before did not succeed."
GUARD_LOST = "No snapshot was fired, because the guard of the window was lost first."
LOST_WINDOW = (
    "The server lost the run before it entered the calls; it looks for their snapshots by tag."
)


class Without(Enum):
    """What is left out where it cannot be entered: a run must not stay frozen in its row for the sake of a text."""

    NOTHING = auto()
    TEXTS = auto()  # the outputs and the names of the scripts
    RESULTS = auto()  # everything but the run's state; its scripts then count as not run


Line = tuple[
    str, datetime | None, str
]  # of the history: a text, when it happened, and in which state


@dataclass(frozen=True, slots=True)
class Result:
    """A script's result and what it printed."""

    row: PhaseResult
    said: Mapping[str, str] = field(default_factory=dict)


def shots(
    run: Run,
    runtime: Path,
    fired: Sequence[Fired],
    why_not: str = NOT_FIRED,
    *,
    are_all: bool = False,
) -> None:
    """Enter the results of the calls. Targets without a call become refused, with `why_not` as reason.

    `are_all`: there is none without a call.
    """
    journal = journals.read(runtime)
    with transaction.atomic():
        if not runs.hold(run, fired_at=answers.last(fired) or run.fired_at):
            return  # whoever has the run now looks for its snapshots by tag
        for one in fired:
            target = answers.judge(one, journal)
            compiled.change(RunTarget, {"pk": target.pk}, answers.columns(target))
            adopt(target, one.snapshots)
        if not are_all:
            left = run.targets.filter(state=RunTarget.State.PLANNED)
            left.update(state=RunTarget.State.REFUSED, reason=why_not)
        told = [(answers.text(one), moments.of(one.returned_at or None)) for one in fired]
        runs.record_all(run, [(text, at, State.FROZEN) for text, at in told])


def adopt(target: RunTarget, snapshots: Sequence[Snapshot]) -> None:
    """Enter snapshots as the target's own, and compare them with the expected volumes."""
    compiled.enter(answers.snapshots(target, snapshots), ignore_conflicts=True)
    reason = answers.lacks(target, snapshots)
    if reason:
        target.reason = reason
        target.save(update_fields=["reason"])


def broken(error: Exception) -> str:
    """Return the sentence for calls that may have been made when an error ended their window."""
    return (
        f"The server met an error in the window ({outages.named(error)}) and thawed at once; it looks for the "
        "snapshots by tag."
    )


def lost_shots(run: Run, why: str = LOST_WINDOW) -> None:
    """Mark the results of the calls as unknown; a search by tag decides them later."""
    run.targets.filter(state=RunTarget.State.PLANNED).update(
        state=RunTarget.State.UNKNOWN, reason=why
    )


def thaw(run: Run, folder: Path, runtime: Path, *, without: Without = Without.NOTHING) -> bool:
    """Enter the state of the thaw; False if another process is thawing, or has entered it.

    The run goes on to waiting, or stays in thawing with the time of the next attempt.
    """
    if spool.is_held(folder):
        return False
    record, standing = thaws.look(folder, runtime)
    journal = journals.read(runtime)
    if record.instances:
        journal = journals.with_visits(runtime, journal) or journal
    if run.state == State.FROZEN and _is_about_to_be_told(journal, standing):
        return False
    event, text = event_of(standing)
    new = new_results(run, record, journal, standing.before)
    if without == Without.TEXTS:
        new = [_bare(each) for each in new]
    attempts = max((each.row.attempt for each in new), default=run.thaw_attempts)
    if standing.due is not None and not _has_started(run, new, attempts, without):
        return False  # the attempt that is due has not started yet
    with transaction.atomic():
        has_news = run.state != State.THAWING or bool(new)
        if without != Without.RESULTS:
            _enter_results(run, new)
            with_texts = without == Without.NOTHING
            has_news |= heard.enter(run, record, journal, standing.owed, with_texts=with_texts)
        if standing.owed and not standing.given_up and not has_news:
            return False  # instances are asked, and have not told anything new
        entered = runs.apply(
            run,
            event,
            text,
            expected={"thaw_attempts": run.thaw_attempts},
            thaw_attempts=attempts,
            thaw_by=thaw_by(journal, standing),
            thaw_next_at=_next_at(standing),
            **spans(journal),
        )
        if entered and without != Without.RESULTS:
            _judge_targets(run)
        transaction.set_rollback(not entered)  # whoever has the run now enters what there is
    if entered:
        close(folder, standing)
    return entered


def close(folder: Path, standing: thaws.Standing) -> None:
    """Settle the record of a run that is thawed or given up; instances that have not told are asked all the same."""
    if standing.given_up and standing.owed:
        late.begin(folder)
    if standing.is_thawed or standing.given_up:
        try:
            spool.settle(folder)
        except OSError:  # all is entered by now, and the clerk settles what is open still
            log.exception("the record in %s could not be settled", folder)


def _is_about_to_be_told(journal: Journal, standing: thaws.Standing) -> bool:
    """Tell whether only instances are owed, and a second session may soon hear that they thawed by themselves."""
    if standing.due is not None or standing.given_up or not standing.owed:
        return False
    asked = journal.visited_boot
    return asked is None or linux.boottime() < asked + PATIENCE_SECONDS


def _has_started(run: Run, new: Sequence[Result], attempts: int, without: Without) -> bool:
    """Tell whether an attempt has been made that the rows do not have; without results they never have it."""
    is_new = any(each.row.phase == Phase.AFTER and each.row.started_at for each in new)
    return is_new and (without != Without.RESULTS or attempts > run.thaw_attempts)


def thaw_by(journal: Journal, standing: thaws.Standing) -> str:
    """Return what began the thaw: `lost` if the journal does not say; empty if nothing was frozen."""
    if journal.thaw_by == ThawBy.WORKER and _thawed_by_itself(journal):
        return ThawBy.INSTANCE
    if journal.thaw_by is not None:
        return journal.thaw_by
    return ThawBy.LOST if standing.before != Outcome.NOT_RUN else ""


def _thawed_by_itself(journal: Journal) -> bool:
    """Tell whether an instance began to thaw for another reason than that it was told to."""
    told = [there for there in journal.there.values() if there.was_told and not there.refused]
    return any(there.thaw_by != WORKER for there in told)


def event_of(standing: thaws.Standing) -> tuple[Event, str]:
    if standing.given_up:
        return (
            Event.GIVEN_UP,
            "after failed until its retries were over: a person has to thaw and confirm it",
        )
    if standing.due is None and standing.owed:
        return Event.THAW_FAILED, heard.owed(standing.owed)
    if standing.due is None:
        return Event.THAWED, "thawed"
    if standing.failing:
        return Event.THAW_FAILED, f"after failed; attempt {standing.due.attempt} follows"
    return (
        Event.THAW_REPEATS,
        "thawed; after runs once more, because before was interrupted and may freeze something late",
    )


def _next_at(standing: thaws.Standing) -> datetime | None:
    if standing.due is None:
        return None
    return clock.now() + timedelta(seconds=max(0.0, standing.due.at - linux.boottime()))


def new_results(run: Run, record: spool.Record, journal: Journal, before: Outcome) -> list[Result]:
    """Return the results that the rows do not have yet.

    Attempts of after are identified by their start times and numbered in the order of the rows: a
    journal that was lost in a restart counts from 1 again.
    """
    entered = _entered(run.pk)
    new, kept = list[Result](), ran.Kept(run)
    if not any(phase == Phase.BEFORE for phase, _, _ in entered):
        attempt = journal.before
        new.append(_result(run, record, Phase.BEFORE, attempt, before, kept))
    afters = [row for row in entered if row[0] == Phase.AFTER]
    number = max((row[1] for row in afters), default=0)
    for found in journal.afters:
        one = _result(run, record, Phase.AFTER, found, found.settled, kept)
        if one.row.started_at not in {started_at for _, _, started_at in afters}:
            number += 1
            one.row.attempt = number
            new.append(one)
    if not afters and not journal.afters:
        outcome = record.outcome_of(Phase.AFTER, Outcome.NOT_RUN)
        new.append(_result(run, record, Phase.AFTER, None, outcome, kept))
    return new


@compiled.Reading
def _entered(run: UUID) -> QuerySet[PhaseResult, Any]:
    return PhaseResult.objects.filter(run=run).values_list("phase", "attempt", "started_at")


def _bare(one: Result) -> Result:
    one.row.script = one.row.script_sha256 = one.row.script_doubt = ""
    one.row.script_version = None
    return Result(one.row)


def _enter_results(run: Run, new: Sequence[Result]) -> None:
    runs.record_all(run, enter_results(new))


def enter_results(new: Sequence[Result]) -> list[Line]:
    """Enter the results of scripts and what they printed; return the lines of the history that tell of them."""
    for each in new:
        outputs.measure(each.row, **each.said)
    compiled.enter([each.row for each in new])
    outputs.enter([(each.row, each.said) for each in new])
    return [line for each in new for line in _lines(each.row)]


def _lines(row: PhaseResult) -> Iterator[Line]:
    state = State.FROZEN if row.attempt == 1 else State.THAWING
    if row.started_at:
        text = f"{row.phase} started" + (f" with {row.argument}" if row.argument else "")
        yield text, row.started_at, state
    if row.ended_at:
        yield f"{row.phase} {row.outcome}", row.ended_at, state


def _result(
    run: Run,
    record: spool.Record,
    phase: Phase,
    attempt: Attempt | None,
    outcome: Outcome,
    kept: ran.Kept,
) -> Result:
    if attempt is None:
        return Result(PhaseResult(run=run, phase=phase, outcome=outcome))
    command = record.command(phase)
    row = PhaseResult(
        run=run,
        phase=phase,
        attempt=attempt.number,
        outcome=outcome,
        exit_code=attempt.exit_code,
        argument=attempt.argument or "",
        script=storable.text(attempt.script or (command.name if command else "")),
        started_at=moments.of(attempt.ordered_at),
        ended_at=moments.of(attempt.ended_at),
        **ran.text(run, record, phase, attempt, kept).columns,
    )
    return Result(row, {"stdout": attempt.stdout, "stderr": attempt.stderr})


class Completed(NamedTuple):
    """What became of a run's complete; without a record nothing is entered."""

    run: Run
    record: spool.Record | None
    attempt: Attempt | None
    outcome: Outcome


@transaction.atomic
def complete_results(completed: Sequence[Completed]) -> None:
    """Enter the results of complete, and what it printed: who follows it sees both or nothing."""
    kept = ran.Kept(*(run for run, *_ in completed))
    results = [
        _result(run, record, Phase.COMPLETE, attempt, outcome, kept)
        for run, record, attempt, outcome in completed
        if record is not None
    ]
    compiled.enter([one.row for one in results], ignore_conflicts=True)
    for one in results:
        if any(one.said.values()):
            row = one.row
            entered = PhaseResult.objects.get(run=row.run, phase=row.phase, attempt=row.attempt)
            outputs.keep(entered, **one.said)


def spans(journal: Journal) -> dict[str, Any]:
    """Return freeze_seconds and hold_seconds of the first attempts, each if both its ends are known.

    With scripts on instances, the hold is from the last before's end to the first order of an after.
    """
    before, afters = journal.before, journal.afters
    told = [there for there in journal.there.values() if there.was_told]
    starts = [there.go_boot for there in told] + ([before.ordered_boot] if before else [])
    ends = [each.afters[1].boot if 1 in each.afters else None for each in told]
    ends += [afters[0].ended_boot] if afters else []
    holds_from = [each.before_boot for each in told] or [before.ended_boot if before else None]
    holds_to = [each.told_boot for each in told] or [afters[0].ordered_boot if afters else None]
    found = {
        "freeze_seconds": _span(starts, ends, to_last=True),
        "hold_seconds": _span(holds_from, holds_to, to_last=False),
    }
    return {name: value for name, value in found.items() if value is not None}


def _span(
    starts: Sequence[float | None], ends: Sequence[float | None], *, to_last: bool
) -> float | None:
    """Return the time from the first start to the last end, or from the last start to the first end."""
    begun = [each for each in starts if each is not None]
    ended = [each for each in ends if each is not None]
    if not ended or len(begun) < len(starts) or len(ended) < len(ends) or not begun:
        return None
    return max(ended) - min(begun) if to_last else min(ended) - max(begun)


def _judge_targets(run: Run) -> None:
    """Set the consistency that each target's snapshots will have once they are completed, for the tags."""
    known, targets, *_ = worth(run)
    for target, its in zip(targets, known.targets, strict=True):
        if target.state == RunTarget.State.FIRED:
            consistency = window_consistency(known, its)
            RunTarget.objects.filter(pk=target.pk).update(consistency=consistency)
