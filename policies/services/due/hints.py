"""Hints that got lost, sent again: the broker may forget, the rows do not."""

from datetime import datetime, timedelta

from django.db.models import F, Q, QuerySet

from n2wbackup.lib import clock
from n2wbackup.lib.cas import compare_and_set
from policies.adapters import broker
from policies.domain.runs.sequence import State
from policies.models import Run
from policies.services import runs

PATIENCE = timedelta(seconds=10)
# While the broker still holds hints the workers are only behind: each hint sent again would add to that.
BUSY_PATIENCE = timedelta(seconds=60)


def resend() -> int:
    """Send a hint for each run that is due and unclaimed; return how many. Two at a time do no harm."""
    now = clock.now()
    return _resend_queued(now) + _resend_completing(now)


def _resend_queued(now: datetime) -> int:
    rows = Run.objects.filter(~runs.waiting(now), state=State.QUEUED)
    # A run that had to wait gets its hint the moment that it may go on.
    woken = Q(not_before__lte=now, dispatched_at__lt=F("not_before"))
    return _send(rows.filter(_lost(rows, broker.FREEZE, now) | woken), broker.FREEZE, now)


def _resend_completing(now: datetime) -> int:
    rows = Run.objects.filter(state=State.COMPLETING, complete_started_at=None)
    return _send(rows.filter(_lost(rows, broker.COMPLETE, now)), broker.COMPLETE, now)


def _lost(rows: QuerySet[Run], task: str, now: datetime) -> Q:
    """Return which of the runs may have lost their hint; the broker is asked only where some are late."""
    late = _sent_before(now - PATIENCE) | Q(dispatched_at__gt=now + clock.SKEW)
    if rows.filter(late).exists() and broker.is_behind(task):
        return _sent_before(now - BUSY_PATIENCE) | Q(dispatched_at__gt=now + clock.SKEW)
    return late


def _sent_before(moment: datetime) -> Q:
    return Q(dispatched_at=None) | Q(dispatched_at__lt=moment)


def _send(rows: QuerySet[Run], task: str, now: datetime) -> int:
    sent = 0
    for pk, dispatched_at in rows.values_list("pk", "dispatched_at"):
        same = Run.objects.filter(pk=pk)
        if compare_and_set(same, {"dispatched_at": dispatched_at}, dispatched_at=now):
            broker.send(task, pk)
            sent += 1
    return sent
