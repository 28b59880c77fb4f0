"""A person's wish that an application be thawed now, not at the next attempt's time."""

from n2wbackup.lib import clock, home
from policies.domain.errors import RefusedError
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Policy, Run
from policies.services import runs
from scripts_admin.domain.phases import Phase
from scripts_admin.guard import thaw
from scripts_admin.guard.spool import UnreadableRecordError


def thaw_now(policy: Policy, *, by: str) -> Run | None:
    """Have after run at once: as the next attempt of the run that is thawing, else as a test of after.

    Returns the run of that test, if there is one. RefusedError, and nothing changed, if nothing may be frozen, or
    after cannot be run from here.
    """
    name = f"{policy.owner}/{policy}"
    run = Run.objects.unfinished().filter(policy=policy).first()
    if run is not None and run.state == State.THAWING:
        _hurry(run, by)
        return None
    if run is not None and run.state == State.FROZEN and run.server_gone_at is None:
        message = f"The window of {name} is open now and closes by itself within {policy.max_freeze_seconds} s."
        raise RefusedError(message)
    if run is not None and run.state == State.FROZEN:
        raise RefusedError(_elsewhere(run))
    if policy.may_be_frozen_since is None:
        message = f"{name} is not marked as frozen; there is nothing to thaw."
        raise RefusedError(message)
    return runs.start(
        policy=policy,
        trigger=Trigger.TEST,
        requested_by=by,
        test_phase=Phase.AFTER,
        test_argument="0",
    )


def _hurry(run: Run, by: str) -> None:
    if not runs.is_here(run):
        raise RefusedError(_elsewhere(run))
    folder, runtime = home.spool() / str(run.pk), home.runtime_to_thaw() / str(run.pk)
    try:
        due = thaw.look(folder, runtime)[1].due
    except (OSError, UnreadableRecordError):
        due = None
    if due is None:
        message = f"Run {run.pk} has no attempt to thaw left: thaw by hand and confirm it."
        raise RefusedError(message)
    thaw.want_now(runtime, due.attempt)
    runs.record(run, f"{by} asked for the next attempt of after at once", at=clock.now())


def _elsewhere(run: Run) -> str:
    return (
        f"Only server {run.server}, which has the window of run {run.pk}, can run its after: look at that server, or "
        "thaw by hand and confirm it."
    )
