"""Hints that got lost, sent again: the broker may forget, the rows do not."""

from datetime import datetime, timedelta

from django.db.models import F, Q

from n2wbackup.lib import clock
from n2wbackup.lib.cas import compare_and_set
from policies import dispatch
from policies.domain.sequence import State
from policies.models import Run

PATIENCE = timedelta(seconds=10)


def resend() -> int:
    """Send a hint for each run that is due and unclaimed; return how many. Two at a time do no harm."""
    now = clock.now()
    return _resend_queued(now) + _resend_completing(now)


def _resend_queued(now: datetime) -> int:
    due = Q(not_before=None) | Q(not_before__lte=now)
    stale = Q(dispatched_at=None) | Q(dispatched_at__lt=now - PATIENCE)
    # A run that had to wait gets its hint the moment that it may go on.
    woken = Q(not_before__lte=now, dispatched_at__lt=F("not_before"))
    rows = Run.objects.filter(due, stale | woken, state=State.QUEUED)
    return _send(rows.values_list("pk", "dispatched_at"), dispatch.FREEZE, now)


def _resend_completing(now: datetime) -> int:
    stale = Q(dispatched_at=None) | Q(dispatched_at__lt=now - PATIENCE)
    rows = Run.objects.filter(stale, state=State.COMPLETING, complete_started_at=None)
    return _send(rows.values_list("pk", "dispatched_at"), dispatch.COMPLETE, now)


def _send(rows: object, task: str, now: datetime) -> int:
    sent = 0
    for pk, dispatched_at in rows:  # type: ignore[attr-defined]
        same = Run.objects.filter(pk=pk)
        if compare_and_set(same, {"dispatched_at": dispatched_at}, dispatched_at=now):
            dispatch.send(task, pk)
            sent += 1
    return sent
