"""Asking for a trial of a policy's instances; a worker, or the caller, makes it."""

from django.db import IntegrityError, transaction

from n2wbackup.lib import clock
from policies.adapters import broker
from policies.domain.errors import RefusedError
from policies.domain.runs.sequence import State
from policies.domain.trials import Kind
from policies.models import Policy, Run, Trial
from policies.services.window import on_instances
from scripts_admin.domain.audit import Action
from scripts_admin.domain.audit import Kind as Of
from scripts_admin.services import audit

_WINDOW = (State.QUEUED, State.PREPARING, State.FROZEN, State.THAWING)
_ACTIONS = {Kind.DRILL: Action.DRILLED, Kind.LOGIN: Action.TRIED_LOGIN}
_NOBODY = {
    Kind.DRILL: "{} runs no scripts on instances, so there is none to drill.",
    Kind.LOGIN: "{} runs no scripts on instances, so there is none to log in to.",
}
_BUSY = {
    Kind.DRILL: "{} is being drilled already: wait for what this drill finds.",
    Kind.LOGIN: "This server tries to log in to the instances of {} already: wait for what it finds.",
}


def ask(policy: Policy, kind: Kind, *, by: str) -> Trial:
    """Queue a trial; `by` is empty where the server does it by itself.

    RefusedError, and nothing done, if there is nobody to try, or one is on its way.
    """
    if not on_instances.remotes(policy):
        raise RefusedError(_NOBODY[kind].format(policy.label))
    if kind == Kind.DRILL and not policy.scripts_enabled:
        message = f"The scripts of {policy.label} are switched off, so there is nothing to drill: switch them on first."
        raise RefusedError(message)
    now = clock.now()
    try:
        with transaction.atomic():
            trial = Trial.objects.create(
                policy=policy, kind=kind, requested_by=by, asked_at=now, next_at=now
            )
            if by:
                audit.record(_ACTIONS[kind], audit.subject(Of.POLICY, policy, policy.label))
            broker.on_commit(broker.TRIAL, trial.pk)
    except IntegrityError:
        raise RefusedError(_BUSY[kind].format(policy.label)) from None
    return trial


def in_the_way(policy: Policy) -> str:
    """Return why the policy's instances are left alone for now; "" if they are not: a backup goes first."""
    run = Run.objects.unfinished(*_WINDOW).filter(policy=policy).first()
    if run is None:
        return ""
    return f"run {run.pk} of {policy.label} is {run.state}: a backup goes first"


def refuse_beside_a_window(policy: Policy, kind: Kind) -> None:
    """Raise RefusedError if a trial, made here and now, would stand beside a window."""
    why = in_the_way(policy)
    if why and kind == Kind.DRILL:
        message = f"{policy.label} is not drilled now, because {why}. Drill when it is over."
        raise RefusedError(message)
