"""Lost hints, sent again: the broker may lose a hint, but the rows stay."""

from datetime import datetime, timedelta

from django.db.models import F, Q, QuerySet

from n2wbackup.lib import clock
from n2wbackup.lib.cas import compare_and_set
from policies.adapters import broker
from policies.domain.runs.sequence import State
from policies.models import Run
from policies.services import claiming

PATIENCE = timedelta(seconds=10)
# While the broker has hints in its queue, the workers are only late: each repeated hint would add to the load.
BUSY_PATIENCE = timedelta(seconds=60)


def resend() -> int:
    """Send a hint for each run that is due and unclaimed; return how many. Parallel calls do no harm."""
    now = clock.now()
    return _resend_queued(now) + _resend_completing(now)


def _resend_queued(now: datetime) -> int:
    rows = Run.objects.unfinished(State.QUEUED).filter(~claiming.waiting(now))
    # A deferred run gets its hint as soon as it may go on.
    woken = Q(not_before__lte=now, dispatched_at__lt=F("not_before"))
    return _send(rows.filter(_lost(rows, broker.FREEZE, now) | woken), broker.FREEZE, now)


def _resend_completing(now: datetime) -> int:
    """Send each run to the server that has its spool, as only that one can complete it."""
    rows = Run.objects.unfinished(State.COMPLETING).filter(complete_started_at=None)
    sent = 0
    for server in set(rows.values_list("server", flat=True)):
        its = rows.filter(server=server)
        sent += _send(its.filter(_lost(its, broker.COMPLETE, now, server)), broker.COMPLETE, now)
    return sent


def _lost(rows: QuerySet[Run], task: str, now: datetime, server: str = "") -> Q:
    """Match the runs that may have lost their hint; asks the broker only if some are late."""
    late = _sent_before(now - PATIENCE) | Q(dispatched_at__gt=now + clock.SKEW)
    if rows.filter(late).exists() and broker.is_behind(task, server):
        return _sent_before(now - BUSY_PATIENCE) | Q(dispatched_at__gt=now + clock.SKEW)
    return late


def _sent_before(moment: datetime) -> Q:
    return Q(dispatched_at=None) | Q(dispatched_at__lt=moment)


def _send(rows: QuerySet[Run], task: str, now: datetime) -> int:
    sent = 0
    for pk, dispatched_at, server in rows.values_list("pk", "dispatched_at", "server"):
        same = Run.objects.filter(pk=pk)
        if compare_and_set(same, {"dispatched_at": dispatched_at}, dispatched_at=now):
            broker.send(task, pk, server if task == broker.COMPLETE else "")
            sent += 1
    return sent
