"""What instances told of their scripts, entered into the rows after the thaw.

Times are this server's, when it heard: no clock of an instance is compared with another one.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from n2wbackup.lib import storable
from policies.domain.runs.sequence import State
from policies.models import PhaseResult, Run, RunTarget
from policies.services import runs
from policies.services.window import moments, on_instances, outputs
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.domain.remote import ThawnBy
from scripts_admin.guard.journal import Journal
from scripts_admin.guard.on_instances import NEVER, OnInstance, There
from scripts_admin.guard.spool import Record


def enter(
    run: Run, record: Record, journal: Journal, owed: Collection[str], *, with_texts: bool
) -> bool:
    """Enter what is new of every instance; tell whether anything was. What was printed may come later than its row.

    `owed` may be frozen, even where the journal that would say so is lost.
    """
    if not record.instances:
        return False
    rows = {target.instance_id: target for target in run.targets.exclude(instance_id="")}
    results = PhaseResult.remote.filter(run=run)
    known = {(each.target_id, each.phase, each.attempt): each for each in results}
    changed = False
    for scripts in record.instances:
        target = rows.get(scripts.instance)
        if target is None:
            continue
        there = journal.there.get(scripts.instance, There(scripts.instance))
        is_owed = scripts.instance in owed
        for row in _rows(run, target, scripts, there, is_owed=is_owed):
            found = known.get((target.pk, row.phase, row.attempt))
            if found is None or _is_news(row, found):
                found, changed = _put(run, target, row), True
            if with_texts and not found.stdout_bytes and not found.stderr_bytes:
                outputs.keep(found, **_printed(there, row))
        changed |= _note_thaw(target, there)
        _note_problem(target, there)
    return changed


def owed(instances: Sequence[str]) -> str:
    """Return the sentence for instances that have not told that they are thawed."""
    names, have = ", ".join(instances), "has" if len(instances) == 1 else "have"
    return f"{names} {have} not told yet that the thaw is over: each thaws by itself, and is asked until it tells"


def _rows(
    run: Run, target: RunTarget, scripts: OnInstance, there: There, *, is_owed: bool
) -> Iterable[PhaseResult]:
    before = _before(run, target, scripts, there)
    if is_owed and before.outcome == Outcome.NOT_RUN and not scripts.argument:
        before.outcome = Outcome.INTERRUPTED
    yield before
    for each in there.afters.values():
        is_first = each.number == 1
        yield PhaseResult(
            run=run,
            target=target,
            phase=Phase.AFTER,
            attempt=each.number,
            outcome=each.outcome,
            exit_code=each.exit_code,
            argument=there.argument[:1] if is_first else "",
            started_at=moments.of(there.thaw_at) if is_first else None,
            ended_at=moments.of(each.at),
            thaw_by=ThawnBy.of(each.by),
            **on_instances.text(target, Phase.AFTER),
        )
    is_over = bool(there.over) and there.over != NEVER
    if not (there.afters or is_over or is_owed or (there.was_told and there.over != NEVER)):
        yield PhaseResult(run=run, target=target, phase=Phase.AFTER, outcome=Outcome.NOT_RUN)


def _before(run: Run, target: RunTarget, scripts: OnInstance, there: There) -> PhaseResult:
    if scripts.argument:  # a test of after alone
        return PhaseResult(run=run, target=target, phase=Phase.BEFORE, outcome=Outcome.NOT_RUN)
    outcome = there.outcome if scripts.armed else Outcome.of(scripts.outcome)
    if outcome == Outcome.SUCCEEDED and not scripts.before:
        outcome = Outcome.MISSING
    return PhaseResult(
        run=run,
        target=target,
        phase=Phase.BEFORE,
        outcome=outcome,
        exit_code=int(there.code) if there.code.isdecimal() else None,
        started_at=moments.of(there.go_at),
        ended_at=moments.of(there.before_at),
        **on_instances.text(target, Phase.BEFORE),
    )


def _is_news(row: PhaseResult, known: PhaseResult) -> bool:
    """Tell whether a row says more than the one that is entered; one from a lost journal says nothing."""
    return known.outcome == Outcome.INTERRUPTED != row.outcome


def _put(run: Run, target: RunTarget, row: PhaseResult) -> PhaseResult:
    """Enter a new result; what was entered as interrupted gets its end when that is heard."""
    same = {"run": run, "target": target, "phase": row.phase, "attempt": row.attempt}
    PhaseResult.remote.filter(**same, outcome=Outcome.INTERRUPTED).delete()
    PhaseResult.everywhere.bulk_create([row], ignore_conflicts=True)
    if row.ended_at:
        state = State.FROZEN if row.attempt == 1 else State.THAWING
        text = f"{row.phase} on {target}: {row.outcome}"
        runs.record(run, text, at=row.ended_at, state=state)
    return PhaseResult.remote.get(**same)


def _printed(there: There, row: PhaseResult) -> dict[str, str]:
    names = {stream: f"{row.phase}.{row.attempt}.{stream}" for stream in ("stdout", "stderr")}
    return {stream: there.outputs.get(name, "") for stream, name in names.items()}


def _note_problem(target: RunTarget, there: There) -> None:
    """Enter why before did not run, or was not waited for: the reason of the run says it."""
    # Who was told to close its gate, and did, was not lost.
    is_lost = there.outcome == Outcome.NOT_RUN and not there.over
    why = there.refused or there.late or (there.lost if is_lost else "")
    if why and Phase.BEFORE not in target.script_problems:
        target.script_problems = {**target.script_problems, Phase.BEFORE.value: storable.text(why)}
        RunTarget.objects.filter(pk=target.pk).update(script_problems=target.script_problems)


def _note_thaw(target: RunTarget, there: There) -> bool:
    if (
        target.thawed_at is not None
    ):  # whoever is asked once more may have been started anew meanwhile
        return False
    by = there.thaw_by or (there.over if there.over != NEVER else "")
    is_thawed = bool(there.over) and there.over != NEVER and not there.has_given_up
    found: dict[str, Any] = {
        "thaw_by": ThawnBy.of(by) if by else "",
        "thaw_began_at": moments.of(there.thaw_at),
        "thawed_at": moments.of(there.over_at) if is_thawed else None,
    }
    # What was told before a restart of this server is lost in its journal, and still true.
    new = {name: value for name, value in found.items() if value and value != getattr(target, name)}
    if not new:
        return False
    RunTarget.objects.filter(pk=target.pk).update(**new)
    return True
