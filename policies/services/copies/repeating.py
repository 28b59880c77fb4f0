"""Copies that failed are made again, because a person wants it."""

from django.db import transaction

from policies.domain.copies.states import CopyState
from policies.domain.errors import RefusedError
from policies.models import Copy, Run
from policies.services.copies import rows
from scripts_admin.domain.audit import Action, Kind
from scripts_admin.services import audit


def again(run: Run) -> int:
    """Have the run's failed copies made again; return how many. RefusedError: there is none, or its source is going."""
    failed = Copy.objects.filter(run=run, state=CopyState.FAILED).select_related("source", "run")
    copies = list(failed)
    if not copies:
        message = f"No copy of run {run.pk} has failed: there is nothing to repeat."
        raise RefusedError(message)
    if any(copy.snapshot_id for copy in copies):
        message = "What AWS left of the failed copy is deleted within five minutes: try again then."
        raise RefusedError(message)
    with transaction.atomic():
        for copy in copies:
            rows.again(copy)
        audit.record(Action.COPIED, audit.subject(Kind.RUN, run, run.label))
    return len(copies)
