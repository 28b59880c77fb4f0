"""A run's end, decided from its rows. Nothing is executed here."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.db import transaction

from n2wbackup.lib import clock, outages
from n2wbackup.lib.cas import compare_and_set
from policies.domain.runs import verdict
from policies.domain.runs.sequence import Event, State
from policies.domain.runs.verdict import Consistency
from policies.models import PhaseResult, Run, RunEvent, RunSnapshot, RunTarget
from policies.selectors.worth import Worth, again, worths
from policies.services import runs, together
from policies.services.together import Change, LostError
from policies.services.window import entering, late, leftovers
from policies.services.window.keeping import runtime_folder
from scripts_admin.domain.phases import FINE, Outcome, Phase, ThawBy
from scripts_admin.guard import journal, spool
from scripts_admin.guard.spool import Record, UnreadableRecordError

log = logging.getLogger(__name__)

COMPLETE_STARTED = "complete started with"  # in the run's history, before its argument


def claim_complete(run: Run) -> bool:
    """Note that complete is about to start; False if it has started, or the run was cancelled meanwhile."""
    same = Run.objects.filter(pk=run.pk)
    expected = {
        "state": State.COMPLETING,
        "server": run.server,
        "complete_started_at": None,
        "cancel_requested_at": run.cancel_requested_at,
    }
    run.complete_started_at = clock.now()
    return compare_and_set(same, expected, complete_started_at=run.complete_started_at)


def give_up(run: Run, folder: Path, problem: str) -> None:
    """End a run although its complete, or its end, met an error; complete is not started any more.

    If its rows cannot be judged either, the run ends by what its snapshots are: `partial` or `failed`.
    """
    if run.complete_started_at is None and not claim_complete(run):
        return  # it was cancelled at this moment: the next hint ends it
    try:
        finish(run, folder, problem)
    except outages.AWAY:
        raise
    except Exception:
        log.exception("the end of run %s could not be judged", run.pk)
        run.refresh_from_db()
        _end_unjudged(run, problem)
        late.forget(folder, runtime_folder(run.pk))


def _end_unjudged(run: Run, problem: str) -> None:
    completed = RunSnapshot.objects.filter(
        target__run=run, state=RunSnapshot.State.COMPLETED
    ).exists()
    end = State.PARTIAL if completed and not run.is_test else State.FAILED
    if run.cancel_requested_at:
        end = State.CANCELLED
    worth = Consistency.CRASH if completed else Consistency.NONE
    runs.apply(
        run,
        Event.COMPLETED,
        f"ended: {end}",
        end=end,
        consistency=worth,
        reason=_joined(run.reason, problem),
    )


@dataclass(frozen=True, slots=True)
class Over:
    """A run whose complete has ended, or will never be known to have.

    `known`: what it was worth before complete started, if this process knows it.
    """

    run: Run
    folder: Path
    problem: str = ""
    known: Worth | None = None


def finish(run: Run, folder: Path, problem: str = "") -> Worth | None:
    """End a run after its complete has ended, or if it can never be known whether complete ended.

    Returns what it was judged by, for its tags; None if another process was faster.
    """
    try:
        return finish_all([Over(run, folder, problem)])[run]
    except LostError:
        return None


def finish_all(overs: Sequence[Over]) -> Mapping[Run, Worth]:
    """End the runs with one commit; LostError, and none has ended, if another process was faster with one of them."""
    results = [_result(over) for over in overs]
    leftovers.enter(
        [(over.run, result.record) for over, result in zip(overs, results, strict=True)]
    )
    unknown = worths([over.run for over in overs if over.known is None])
    judged = again(
        {over.run: over.known or unknown[over.run.pk] for over in overs},
        {result.run: result.outcome for result in results if result.record is not None},
    )
    with transaction.atomic():
        entering.complete_results(results)
        changed = _enter_consistencies(judged.values())
        together.apply_all([_end(over, judged[over.run]) for over in overs])
    for target, consistency in changed:
        target.consistency = consistency
    for over in overs:
        late.forget(over.folder, runtime_folder(over.run.pk))
    return judged


def _result(over: Over) -> entering.Completed:
    run, found = over.run, record(over.folder)
    attempt = journal.read(runtime_folder(run.pk)).attempts.get((Phase.COMPLETE, 1))
    if found is not None and found.complete is not None:
        outcome = attempt.settled if attempt and attempt.was_ordered else Outcome.INTERRUPTED
        return entering.Completed(run, found, attempt, outcome)
    # A run whose spool was lost has no script left to run; that is not a success.
    known = found.outcome_of(Phase.COMPLETE, Outcome.NOT_RUN) if found else Outcome.NOT_RUN
    return entering.Completed(run, found, None, known)


def _enter_consistencies(judged: Iterable[Worth]) -> list[tuple[RunTarget, Consistency]]:
    """Write those that have changed, and return them; most are known from the thaw on."""
    changed = list[tuple[RunTarget, Consistency]]()
    keys: dict[Consistency, list[int]] = defaultdict(list)
    for facts, targets, *_ in judged:
        for target, its in zip(targets, facts.targets, strict=True):
            consistency = verdict.target_consistency(facts, its)
            if consistency != target.consistency:
                changed.append((target, consistency))
                keys[consistency].append(target.pk)
    for consistency, some in keys.items():
        RunTarget.objects.filter(pk__in=some).update(consistency=consistency)
    return changed


def _end(over: Over, judged: Worth) -> Change:
    facts, targets, *_ = judged
    run, end = over.run, verdict.end_state(facts)
    columns = {
        "consistency": verdict.run_consistency(facts),
        "reason": _joined(run.reason or _reason(run, facts, targets), over.problem),
    }
    return Change(run, Event.COMPLETED, f"ended: {end}", end=end, columns=columns)


def enter_interrupted(run: Run) -> bool:
    """Enter that complete was interrupted, if it had begun, and tell so. For a run whose journal nobody can read."""
    begun = RunEvent.objects.filter(run=run, text__startswith=COMPLETE_STARTED).exists()
    if begun:
        row = PhaseResult(run=run, phase=Phase.COMPLETE, outcome=Outcome.INTERRUPTED)
        PhaseResult.objects.bulk_create([row], ignore_conflicts=True)
    return begun


def record(folder: Path) -> Record | None:
    """Return the record of the run's spool, open or settled; None if there is no readable one."""
    try:
        return spool.read_any(folder)
    except (FileNotFoundError, UnreadableRecordError):
        return None


def _joined(*reasons: str) -> str:
    return " ".join(dict.fromkeys(filter(None, reasons)))


def _reason(run: Run, known: verdict.Facts, targets: Sequence[RunTarget]) -> str:
    """Return one line with everything that failed."""
    parts = [
        _of_phase(run, phase, outcome)
        for phase, outcome in _phases(run, known)
        if outcome not in FINE
    ]
    if run.thaw_by and run.thaw_by != ThawBy.WORKER:
        parts.append(f"the thaw was automatic ({run.thaw_by})")
    parts += [f"{target}: {target.reason}" for target in targets if target.reason]
    parts += _on_instances(run, targets, is_held=known.before in FINE)
    if run.is_test:
        parts += _nothing_tested(known)
    elif verdict.is_only_crash_consistent(known) and verdict.scripts_were_fine(known):
        parts += _less_than_required(known, targets)
    return "; ".join(parts)


def _on_instances(run: Run, targets: Sequence[RunTarget], *, is_held: bool) -> list[str]:
    """Return what failed on instances. `is_held`: the server's own before is no reason why one was not run there."""
    if not any(target.remote for target in targets):
        return []
    results = PhaseResult.remote.filter(run=run, attempt=1).order_by("pk")
    known = {(each.target_id, each.phase): each.outcome for each in results}
    outcomes = {key: outcome for key, outcome in known.items() if outcome not in FINE}
    parts = []
    for target in targets:
        for phase in (Phase.BEFORE, Phase.AFTER):
            why, outcome = target.script_problems.get(phase, ""), outcomes.get((target.pk, phase))
            is_told = outcome != Outcome.NOT_RUN or (is_held and phase == Phase.BEFORE)
            if (outcome and is_told) or why:
                said = f"{phase} {outcome or Outcome.NOT_RUN} on {target}"
                parts.append(f"{said}: {why}" if why else said)
        if target.thaw_by and target.thaw_by != ThawBy.WORKER:
            parts.append(f"{target} thawed by itself ({target.thaw_by})")
        has_any = any((target.pk, phase) in known for phase in (Phase.BEFORE, Phase.AFTER))
        if target.state == RunTarget.State.TESTED and not has_any:
            parts.append(f"no script of the folder is for {target}, so none was tested there")
    return parts


def _of_phase(run: Run, phase: Phase, outcome: Outcome) -> str:
    """Return what became of a phase, and why; a sentence that concerns several phases stands at the first."""
    why = run.script_problems.get(phase, "")
    first = next((each for each in Phase if run.script_problems.get(each) == why), phase)
    return f"{phase} {outcome}: {why}" if why and first == phase else f"{phase} {outcome}"


def _phases(run: Run, known: verdict.Facts) -> list[tuple[Phase, Outcome]]:
    if run.is_test:
        return list(verdict.tested(known).items())
    return [
        (Phase.BEFORE, known.before),
        (Phase.AFTER, known.after),
        (Phase.COMPLETE, known.complete),
    ]


def _nothing_tested(known: verdict.Facts) -> list[str]:
    asked = known.test_phase
    ran = [*verdict.tested(known).items(), *verdict.tested_there(known)]
    if any(outcome != Outcome.MISSING for phase, outcome in ran if phase == (asked or phase)):
        return []
    return [f"there is no {asked} script to test".replace("  ", " ")]


def _less_than_required(known: verdict.Facts, targets: Sequence[RunTarget]) -> list[str]:
    """Say that the policy requires more, and why the run has less, as far as nothing else says it."""
    parts = ["the snapshots are not application-consistent, which the policy requires"]
    if known.before == Outcome.MISSING:
        parts.append("there is no before script")
    if known.after == Outcome.MISSING:
        parts.append("there is no after script, which would prove that the application was held")
    if _scripts_ran(known):
        parts += [
            f"{target}: its call returned after the thaw had begun"
            for target in targets
            if not target.returned_before_thaw and not target.reason
        ]
    return parts


def _scripts_ran(known: verdict.Facts) -> bool:
    """Tell whether both scripts of the window ran and succeeded."""
    return known.before == known.after == Outcome.SUCCEEDED
