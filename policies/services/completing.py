"""The complete phase and the run's end. complete may delete logs: it is started at most once."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from n2wbackup.lib import clock, home
from n2wbackup.lib.cas import compare_and_set
from policies.domain import verdict
from policies.domain.sequence import Event, State
from policies.models import Run, RunTarget
from policies.selectors import facts
from policies.services import accounts, entering, runs, scripting
from policies.services.windows import runtime_folder
from scripts_admin.domain import outcomes
from scripts_admin.runners import journal, keeper, spool
from scripts_admin.runners.keeper import GuardLostError
from scripts_admin.runners.spool import Command, Record, UnreadableRecordError

log = logging.getLogger(__name__)

ANSWER_SECONDS = 15.0
LOCK_SECONDS = 3.0


def execute(run_id: UUID) -> None:
    """Run complete and end the run, unless somebody else is at it."""
    folder = spool.create(home.spool(), str(run_id))
    held = spool.try_lock(folder, spool.KEEPER)
    if held is None:
        return
    try:
        run = (
            Run.objects.select_related("policy__folder", "account")
            .defer("account__secret_access_key")
            .filter(pk=run_id)
            .first()
        )
        if run is not None and run.state == State.COMPLETING and not run.complete_started_at:
            _run(run, folder)
    finally:
        os.close(held)


def _run(run: Run, folder: Path) -> None:
    lock = spool.lock_within(folder, LOCK_SECONDS)
    if lock is None:
        return  # a guard of this run is alive; the next hint finds it gone
    try:
        _make_record(run, folder)
        record = _record(folder)
        argument = _argument(run)
        secrets = accounts.secrets(run.account)
        # The row first: whoever comes after a crash finds that complete may have run, and never runs it again.
        if not _claim(run):
            return
        if record is not None and record.complete is not None:
            runs.record(run, f"complete started with {argument}")
            _run_script(run, folder, os.dup(lock), argument, record.complete, secrets)
    finally:
        os.close(lock)
    finish(run, folder)


def _claim(run: Run) -> bool:
    """Note that complete is about to be started; False where it was, or the run was cancelled meanwhile."""
    same = Run.objects.filter(pk=run.pk)
    expected = {
        "state": State.COMPLETING,
        "complete_started_at": None,
        "cancel_requested_at": run.cancel_requested_at,
    }
    run.complete_started_at = clock.now()
    return compare_and_set(same, expected, complete_started_at=run.complete_started_at)


def _argument(run: Run) -> str:
    if run.is_test:
        return run.test_argument or "0"
    return verdict.complete_argument(facts(run))


def _record(folder: Path) -> Record | None:
    try:
        return spool.read_any(folder)
    except (FileNotFoundError, UnreadableRecordError):
        return None


def _make_record(run: Run, folder: Path) -> None:
    """Describe complete for a run that never had a window; one that lost its record gets none."""
    if _record(folder) is not None or run.ordered_at is not None or run.policy is None:
        return
    try:
        record = scripting.spool_record(run, run.policy, scripting.resolve(run, run.policy), folder)
        spool.write(folder, record, spool.SETTLED)
    except OSError as error:
        runs.record(
            run, f"complete cannot be run: its script could not be copied ({error.strerror})"
        )


def _run_script(
    run: Run, folder: Path, lock: int, argument: str, command: Command, secrets: Sequence[bytes]
) -> None:
    single = ("complete", argument, 1)
    try:
        guard = keeper.Guard(folder, runtime_folder(run.pk), lock, secrets, single)
        guard.wait_until_done(command.timeout_seconds + ANSWER_SECONDS)
        guard.release()
    except (GuardLostError, OSError):
        log.exception("the guard of complete of run %s was lost", run.pk)


def finish(run: Run, folder: Path) -> None:
    """End a run whose complete has ended, or will never be known to have; nothing is run here."""
    record = _record(folder)
    attempt = journal.read(runtime_folder(run.pk)).attempts.get(("complete", 1))
    if record is not None and record.complete is not None:
        outcome = attempt.settled if attempt and attempt.was_ordered else outcomes.INTERRUPTED
    else:
        # A run that was lost with its spool has no script left to run, which is no success.
        known = record.not_run.get("complete", outcomes.NOT_RUN) if record else outcomes.NOT_RUN
        outcome, attempt = known, None
    if record is not None:
        entering.complete_result(run, record, attempt, outcome)
    known_facts = facts(run)
    for target, worth in zip(run.targets.all(), known_facts.targets, strict=True):
        consistency = verdict.target_consistency(known_facts, worth)
        RunTarget.objects.filter(pk=target.pk).update(consistency=consistency)
    end = verdict.end_state(known_facts)
    ended = runs.apply(
        run,
        Event.COMPLETED,
        f"ended: {end}",
        end=end,
        consistency=verdict.run_consistency(known_facts),
        reason=run.reason or _reason(run, known_facts),
    )
    if ended:
        spool.remove(folder, runtime_folder(run.pk))


def _reason(run: Run, known: verdict.Facts) -> str:
    """Return one line on what was not as it should be."""
    parts = [
        f"{phase} {outcome}"
        for phase, outcome in (
            ("before", known.before),
            ("after", known.after),
            ("complete", known.complete),
        )
        if outcome not in outcomes.FINE and not (run.is_test and outcome == outcomes.NOT_RUN)
    ]
    if run.thaw_by and run.thaw_by != "worker":
        parts.append(f"the thaw was automatic ({run.thaw_by})")
    parts += [f"{target}: {target.reason}" for target in run.targets.all() if target.reason]
    return "; ".join(parts)
