"""The complete phase and the run's end. complete may delete logs: it is started at most once."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from n2wbackup.lib import home, outages
from n2wbackup.lib.trust import UntrustedError
from policies.domain.runs import verdict
from policies.domain.runs.sequence import State
from policies.models import Run
from policies.selectors.runs import Worth, facts
from policies.services import runs
from policies.services.window import defects, ending, scripts, sealing
from policies.services.window.keeping import runtime_folder
from scripts_admin import linux_accounts
from scripts_admin.domain.phases import Phase
from scripts_admin.guard import keeper, spool
from scripts_admin.guard.keeper import GuardLostError
from scripts_admin.guard.spool import ScriptCommand

log = logging.getLogger(__name__)

ANSWER_SECONDS = 15.0
LOCK_SECONDS = 3.0


class Ended(NamedTuple):
    """A run that has just ended, and what it was judged by."""

    run: Run
    judged: Worth


def execute(run_id: UUID) -> Ended | None:
    """Run complete and end the run, unless another process is doing so, or another server has its spool.

    An error that no step foresaw ends the run as well. Returns the ended run with what it was judged by, as far as
    this process knows it.
    """
    held: int | None = None
    if not _rows(run_id).filter(server__in=("", home.server_id())).exists():
        return None
    try:
        home.verify()
        folder, held = spool.keep(home.spool(), str(run_id))
        run = _due(run_id) if held is not None else None
        return _run(run, folder) if run is not None else None
    except outages.AWAY:
        raise
    except UntrustedError as error:
        _end_without(run_id, str(error))
    except Exception as error:  # noqa: BLE001 - a run always ends
        defects.end(run_id, error, "completed")
    finally:
        if held is not None:
            os.close(held)
    return None


def _rows(run_id: UUID) -> QuerySet[Run]:
    """Match the run if its complete has not started."""
    return Run.objects.filter(pk=run_id, state=State.COMPLETING, complete_started_at=None)


def _due(run_id: UUID) -> Run | None:
    """Return the run if its complete has not started and this server is the one to run it."""
    rows = _rows(run_id).select_related("policy__folder", "account")
    run = rows.defer("account__secret_access_key").first()
    return run if run is not None and runs.is_here(run) else None


def _end_without(run_id: UUID, problem: str) -> None:
    """End the run without complete: what would be executed may be somebody else's."""
    run = _due(run_id)
    if run is not None and ending.claim_complete(run):
        runs.record(run, f"complete is not run, because {problem}")
        ending.finish(run, home.spool() / str(run_id))


def _run(run: Run, folder: Path) -> Ended | None:
    lock = spool.lock_within(folder, LOCK_SECONDS)
    if lock is None:
        return None  # a guard of this run is still alive; the next hint tries again
    try:
        _make_record(run, folder)
        record = ending.record(folder)
        argument = _argument(run)
        secrets = sealing.secrets(run.account)
        command = record.complete if record is not None else None
        # The row first: after a crash it shows that complete may have run, and complete never runs again.
        with transaction.atomic():
            if not ending.claim_complete(run):
                return None
            if command is not None:
                runs.record(run, f"{ending.COMPLETE_STARTED} {argument}")
        if command is not None:
            _run_script(run, folder, os.dup(lock), argument, command, secrets)
    finally:
        os.close(lock)
    judged = ending.finish(run, folder)
    return Ended(run, judged) if judged is not None else None


def _argument(run: Run) -> str:
    if run.is_test:
        return run.test_argument or "0"
    return verdict.complete_argument(facts(run))


def _make_record(run: Run, folder: Path) -> None:
    """Write the record of complete for a run that never had a window; a run that lost its record gets none."""
    if ending.record(folder) is not None or run.ordered_at is not None or run.policy is None:
        return
    try:
        record = scripts.spool_record(run, run.policy, scripts.resolve(run, run.policy), folder)
        spool.write(folder, record, spool.SETTLED)
    except OSError as error:
        runs.record(
            run, f"complete cannot be run: its script could not be copied ({error.strerror})"
        )


def _run_script(
    run: Run,
    folder: Path,
    lock: int,
    argument: str,
    command: ScriptCommand,
    secrets: Sequence[bytes],
) -> None:
    single = (Phase.COMPLETE, argument, 1)
    try:
        itself = linux_accounts.runs_as_itself()
        guard = keeper.Guard(
            folder, runtime_folder(run.pk), lock, secrets, single, as_itself=itself
        )
        guard.wait_until_done(command.timeout_seconds + ANSWER_SECONDS)
        guard.release()
    except (GuardLostError, OSError):
        log.exception("the guard of complete of run %s was lost", run.pk)
