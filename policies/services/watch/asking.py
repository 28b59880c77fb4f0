"""A person asks for after to be run again now, instead of when the watchdog would try next.

The row says so. The clerk of the server that has the run passes it on to its watchdog, which reads no database, as
a note in memory.
"""

from contextlib import suppress
from pathlib import Path

from n2wbackup.lib import clock, home
from policies.domain.errors import RefusedError
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Policy, Run
from policies.services import runs
from scripts_admin.domain.phases import Phase

_FOLDER = "asked"
_THAWED = (State.WAITING, State.COMPLETING)


def thaw_now(policy: Policy, *, by: str) -> str:
    """Have after run at once; return what happens now, in words. RefusedError, and nothing done, if it cannot.

    If the server has given up, or another run has ended meanwhile, after is run by a run of its own with 0.
    """
    run = Run.objects.unfinished().filter(policy=policy).order_by("-created_at").first()
    if run is None:
        if policy.may_be_frozen_since is None:
            message = f"{policy.label} is not marked as frozen; there is nothing to thaw."
            raise RefusedError(message)
        made = runs.start(
            policy=policy,
            trigger=Trigger.TEST,
            requested_by=by,
            test_phase=Phase.AFTER,
            test_argument="0",
        )
        where = " on the server and on its instances" if _has_remote(policy) else ""
        return f"after is run now{where}, with 0, in run {made.pk}"
    if run.state == State.THAWING and run.server_gone_at is None:
        Run.objects.filter(pk=run.pk, state=State.THAWING).update(thaw_asked_at=clock.now())
        runs.record(run, f"{by} asked for after to be run now")
        return f"after of run {run.pk} is run again now"
    if run.state in _THAWED and policy.may_be_frozen_since is None:
        return f"{policy.label} is thawed already: after of run {run.pk} has ended"
    if run.state == State.THAWING:
        message = (
            f"Only the server of run {run.pk} can run its after, and it is gone: thaw by hand."
        )
    elif run.state == State.FROZEN:
        message = (
            f"The window of run {run.pk} is open: it is thawed by itself when its snapshots are started, at the "
            "latest when its longest freeze has passed."
        )
    else:
        message = (
            f"Run {run.pk} is {run.state} and runs after by itself: wait for it, or thaw by hand."
        )
    raise RefusedError(message)


def _has_remote(policy: Policy) -> bool:
    return policy.scripts_enabled and any(each.remote for each in policy.targets.all())


def pass_on() -> None:
    """Hand over to the watchdog of this server what people asked for."""
    asked = Run.objects.unfinished().filter(server=home.server_id(), thaw_asked_at__isnull=False)
    for pk in list(asked.order_by().values_list("pk", flat=True)):
        _note(home.runtime_to_thaw(), str(pk))
        Run.objects.filter(pk=pk).update(thaw_asked_at=None)


def _note(runtime: Path, run: str) -> None:
    folder = runtime / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / run).touch(mode=0o600)


def take(runtime: Path, run: str) -> bool:
    """Tell whether after of this run is wanted now, once."""
    with suppress(OSError):
        (runtime / _FOLDER / run).unlink()
        return True
    return False
