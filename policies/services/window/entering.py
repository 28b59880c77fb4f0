"""What happened in a window, entered into the rows after the thaw, with the times that it had.

Whoever holds the run's keeper lock calls this: the worker that kept the window, or, when it died, the watchdog.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import transaction

from n2wbackup.lib import clock
from policies.domain.runs.sequence import Event, State
from policies.domain.runs.verdict import window_consistency
from policies.models import PhaseResult, Run, RunSnapshot, RunTarget
from policies.ports import Snapshot
from policies.selectors.runs import facts
from policies.services import runs
from policies.services.window.volley import Fired
from scripts_admin.domain.phases import Outcome, Phase, ThawBy
from scripts_admin.guard import journal as journals
from scripts_admin.guard import linux, spool
from scripts_admin.guard import thaw as thaws
from scripts_admin.guard.journal import Attempt, Journal

NOT_FIRED = "No snapshot was fired, as before did not succeed."
GUARD_LOST = "No snapshot was fired, as the guard of the window was lost before."
LOST_WINDOW = (
    "The server lost the run before the calls were entered; their snapshots are looked for by tag."
)


def shots(run: Run, runtime: Path, fired: Sequence[Fired], why_not: str = NOT_FIRED) -> None:
    """Enter what the calls gave. Targets that were not called are refused, and `why_not` says why."""
    journal = journals.read(runtime)
    on_request = journal.thaw_by == ThawBy.WORKER and journal.thaw_boot is not None
    with transaction.atomic():
        for one in fired:
            _enter_shot(one, on_request and one.returned_boot <= (journal.thaw_boot or 0.0))
        left = run.targets.filter(state=RunTarget.State.PLANNED)
        left.update(state=RunTarget.State.REFUSED, reason=why_not)
        moments = [one.returned_at for one in fired if one.returned_at]
        if moments:
            run.fired_at = moment(max(moments))
            Run.objects.filter(pk=run.pk).update(fired_at=run.fired_at)
        for one in fired:
            at = moment(one.returned_at or None)
            runs.record(run, _shot_text(one), at=at, state=State.FROZEN)


def _enter_shot(one: Fired, in_time: bool) -> None:  # noqa: FBT001 - read at its only call
    target = one.shot.target
    target.state = RunTarget.State.FIRED if one.snapshots else RunTarget.State.REFUSED
    if one.lost:
        target.state = RunTarget.State.UNKNOWN
    target.reason = one.problem
    target.fired_at = moment(one.returned_at) if one.snapshots else None
    target.returned_before_thaw = in_time and bool(one.snapshots)
    target.save()
    adopt(target, one.snapshots)


def adopt(target: RunTarget, snapshots: Sequence[Snapshot]) -> None:
    """Enter snapshots as the target's own, and compare them with the volumes expected."""
    now = clock.now()
    RunSnapshot.objects.bulk_create(
        [
            RunSnapshot(
                target=target, snapshot_id=s.snapshot_id, volume_id=s.volume_id, created_at=now
            )
            for s in snapshots
        ],
        ignore_conflicts=True,
    )
    if not snapshots:
        return
    made = {snapshot.volume_id for snapshot in snapshots}
    missing = sorted(set(target.expected_volume_ids) - made)
    if missing:
        target.reason = f"AWS made no snapshot of {', '.join(missing)}: the set is not whole."
        target.save(update_fields=["reason"])


def _shot_text(one: Fired) -> str:
    if one.problem:
        return f"{one.shot.target}: {one.problem}"
    return f"{one.shot.target}: {len(one.snapshots)} snapshots fired"


def lost_shots(run: Run) -> None:
    """Note that nobody knows what the calls gave: the tag will tell."""
    run.targets.filter(state=RunTarget.State.PLANNED).update(
        state=RunTarget.State.UNKNOWN, reason=LOST_WINDOW
    )


def thaw(run: Run, folder: Path, runtime: Path) -> bool:
    """Enter how the thaw stands; False where somebody else is at it, or has entered it.

    The run goes on to wait, or stays in thawing with the time of the next attempt.
    """
    if spool.is_held(folder):
        return False
    journal = journals.read(runtime)
    record, standing = thaws.look(folder, runtime)
    event, text = _event(standing)
    new = _new_results(run, record, journal, standing.before)
    if event in (Event.THAW_FAILED, Event.THAW_REPEATS) and not any(
        row.phase == Phase.AFTER and row.started_at for row in new
    ):
        return False  # the attempt that is due has not been made yet
    with transaction.atomic():
        _enter_results(run, new)
        entered = runs.apply(
            run,
            event,
            text,
            expected={"thaw_attempts": run.thaw_attempts},
            thaw_attempts=max((row.attempt for row in new), default=run.thaw_attempts),
            thaw_by=_thaw_by(journal, standing),
            thaw_next_at=_next_at(standing),
            **_spans(journal),
        )
        if entered:
            _judge_targets(run)
    if entered and standing.due is None:
        spool.settle(folder)
    return entered


def _thaw_by(journal: Journal, standing: thaws.Standing) -> str:
    """Return who began the thaw: where nobody noted it, its keeper was lost; nothing where nothing was frozen."""
    if journal.thaw_by is not None:
        return journal.thaw_by
    return ThawBy.LOST if standing.before != Outcome.NOT_RUN else ""


def _event(standing: thaws.Standing) -> tuple[Event, str]:
    if standing.given_up:
        return (
            Event.GIVEN_UP,
            "after failed to the end of its time: a person has to thaw and confirm it",
        )
    if standing.due is None:
        return Event.THAWED, "thawed"
    if standing.failing:
        return Event.THAW_FAILED, f"after failed; attempt {standing.due.attempt} follows"
    return (
        Event.THAW_REPEATS,
        "thawed; once more, as before was cut short and may freeze something late",
    )


def _next_at(standing: thaws.Standing) -> datetime | None:
    if standing.due is None:
        return None
    return clock.now() + timedelta(seconds=max(0.0, standing.due.at - linux.boottime()))


def _new_results(
    run: Run, record: spool.Record, journal: Journal, before: Outcome
) -> list[PhaseResult]:
    """Return what the rows do not have yet.

    Attempts of after are told apart by when they started and numbered as rows: a journal that was lost with
    a restart counts from 1 again.
    """
    entered = list(run.phases.values_list("phase", "attempt", "started_at"))
    new = []
    if not any(phase == Phase.BEFORE for phase, _, _ in entered):
        attempt = journal.before
        new.append(_result(run, record, Phase.BEFORE, attempt, before))
    afters = [row for row in entered if row[0] == Phase.AFTER]
    number = max((row[1] for row in afters), default=0)
    for found in journal.afters:
        row = _result(run, record, Phase.AFTER, found, found.settled)
        if row.started_at not in {started_at for _, _, started_at in afters}:
            number += 1
            row.attempt = number
            new.append(row)
    if not afters and not journal.afters:
        outcome = record.outcome_of(Phase.AFTER, Outcome.NOT_RUN)
        new.append(_result(run, record, Phase.AFTER, None, outcome))
    return new


def _enter_results(run: Run, new: Sequence[PhaseResult]) -> None:
    PhaseResult.objects.bulk_create(new)
    for row in new:
        state = State.FROZEN if row.attempt == 1 else State.THAWING
        if row.started_at:
            text = f"{row.phase} started" + (f" with {row.argument}" if row.argument else "")
            runs.record(run, text, at=row.started_at, state=state)
        if row.ended_at:
            runs.record(run, f"{row.phase} {row.outcome}", at=row.ended_at, state=state)


def _result(
    run: Run, record: spool.Record, phase: Phase, attempt: Attempt | None, outcome: Outcome
) -> PhaseResult:
    if attempt is None:
        return PhaseResult(run=run, phase=phase, outcome=outcome)
    command = record.command(phase)
    return PhaseResult(
        run=run,
        phase=phase,
        attempt=attempt.number,
        outcome=outcome,
        exit_code=attempt.exit_code,
        argument=attempt.argument or "",
        script=attempt.script or (command.name if command else ""),
        started_at=moment(attempt.ordered_at),
        ended_at=moment(attempt.ended_at),
        stdout=attempt.stdout.replace("\0", "�"),
        stderr=attempt.stderr.replace("\0", "�"),
    )


def complete_result(
    run: Run, record: spool.Record, attempt: Attempt | None, outcome: Outcome
) -> None:
    """Enter what complete did."""
    row = _result(run, record, Phase.COMPLETE, attempt, outcome)
    PhaseResult.objects.bulk_create([row], ignore_conflicts=True)


def _spans(journal: Journal) -> dict[str, Any]:
    """Return freeze_seconds and hold_seconds of the first attempt, as far as both ends are known."""
    before, afters = journal.before, journal.afters
    if before is None or before.ordered_boot is None or not afters:
        return {}
    first, found = afters[0], dict[str, Any]()
    if first.ended_boot is not None:
        found["freeze_seconds"] = first.ended_boot - before.ordered_boot
    if first.ordered_boot is not None and before.ended_boot is not None:
        found["hold_seconds"] = first.ordered_boot - before.ended_boot
    return found


def _judge_targets(run: Run) -> None:
    """Note what each target's snapshots will be worth once they are complete; the tags tell it."""
    known = facts(run)
    for target in run.targets.filter(state=RunTarget.State.FIRED):
        worth = window_consistency(known, returned_before_thaw=target.returned_before_thaw)
        RunTarget.objects.filter(pk=target.pk).update(consistency=worth)


def moment(unix_seconds: float | None) -> datetime | None:
    """Return the aware UTC time of UNIX seconds."""
    return None if unix_seconds is None else datetime.fromtimestamp(unix_seconds, tz=UTC)
