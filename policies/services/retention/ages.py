"""Old rows are deleted, a few at a time, so that no window waits for the database.

How old is old: `n2wbackup/settings/ages.py`. A run with snapshots that may still exist is a restore
point; it stays with its targets and snapshots.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from n2wbackup.lib import clock
from policies.domain.copies.states import THERE
from policies.models import (
    Alarm,
    AlarmDelivery,
    Copy,
    DailyCount,
    DailySum,
    Description,
    InventoryItem,
    LeftOut,
    OutputChunk,
    PhaseResult,
    Policy,
    Removal,
    Run,
    RunEvent,
    RunSnapshot,
    RunTarget,
)
from scripts_admin.models import AuditEntry
from scripts_admin.services import versions

log = logging.getLogger(__name__)

RUNS_AT_ONCE = 50  # one transaction; a run has about twenty rows
ROWS_AT_ONCE = 500
TURNS = 20  # at most so many transactions of a kind per tick

_EXISTING = [
    RunSnapshot.State.PENDING,
    RunSnapshot.State.COMPLETED,
    RunSnapshot.State.TIMED_OUT,
    RunSnapshot.State.DELETING,
]


def tick() -> Mapping[str, int]:
    """Delete what is too old; return the number of runs or rows of each kind."""
    now = clock.now()
    deleted = {kind: _delete(delete, _before(now, kind)) for kind, delete in _KINDS.items()}
    deleted["descriptions"] = _delete(_descriptions, _before(now, "runs"))
    deleted["sums"] = _delete(_sums, _before(now, "counts"))
    deleted["sessions"] = _delete(_sessions, now)
    told = {kind: count for kind, count in deleted.items() if count}
    if told:
        log.info("deleted because of their age: %s", told)
    return deleted


def _before(now: datetime, kind: str) -> datetime:
    return now - timedelta(days=settings.N2W_KEEP_DAYS[kind])


def _delete(delete: Callable[[datetime], int], before: datetime) -> int:
    """Repeat a deletion until nothing is left or the tick has done enough; return the sum."""
    total = 0
    for _ in range(TURNS):
        with transaction.atomic():
            count = delete(before)
        if not count:
            break
        total += count
    return total


def _outputs(before: datetime) -> int:
    """Delete what the scripts of old runs printed; their results stay."""
    old = _first(Run.objects.filter(ended_at__lt=before, outputs_deleted_at=None))
    OutputChunk.objects.filter(result__run__in=old).delete()
    PhaseResult.everywhere.filter(run__in=old).update(stdout_bytes=0, stderr_bytes=0)
    return Run.objects.filter(pk__in=old).update(outputs_deleted_at=clock.now())


def _events(before: datetime) -> int:
    old = _first(Run.objects.filter(ended_at__lt=before, events_deleted_at=None))
    RunEvent.objects.filter(run__in=old).delete()
    return Run.objects.filter(pk__in=old).update(events_deleted_at=clock.now())


def _runs(before: datetime) -> int:
    """Delete old runs. One whose snapshots went lately stays: it says why, and may be taken back."""
    existing = RunSnapshot.objects.filter(target__run=OuterRef("pk"), state__in=_EXISTING)
    shown = Policy.objects.filter(last_run=OuterRef("pk"))
    copied = Copy.objects.filter(run=OuterRef("pk"), state__in=sorted(THERE))
    in_bin = RunSnapshot.objects.filter(target__run=OuterRef("pk"), bin_until__gt=clock.now())
    removed = Removal.objects.filter(run=OuterRef("pk"))
    lately = removed.filter(Q(ended_at=None) | Q(ended_at__gte=before))
    old = Run.objects.filter(ended_at__lt=before, restore_point=False)
    old = old.exclude(gone_at__gte=before)
    reasons: list[QuerySet[Any]] = [existing, shown, copied, in_bin, lately]
    for reason in reasons:
        old = old.exclude(Exists(reason))
    gone = _first(old)
    Run.objects.filter(pk__in=gone).delete()
    return len(gone)


def _descriptions(before: datetime) -> int:
    """Delete the descriptions that no run refers to any more."""
    used = RunTarget.objects.filter(description=OuterRef("pk"))
    old = Description.objects.filter(last_seen_at__lt=before).exclude(Exists(used))
    return _delete_rows(old.order_by("last_seen_at"))


def _counts(before: datetime) -> int:
    old = DailyCount.objects.filter(day__lt=before.date()).order_by("day")
    return _delete_rows(old)


def _sums(before: datetime) -> int:
    return _delete_rows(DailySum.objects.filter(day__lt=before.date()).order_by("day"))


def _alarms(before: datetime) -> int:
    """Delete old alarms that are sent; the newest of a policy stays, as the next one depends on it."""
    pending = AlarmDelivery.objects.filter(alarm=OuterRef("pk"), state=AlarmDelivery.State.PENDING)
    newer = Alarm.objects.filter(policy=OuterRef("policy"), pk__gt=OuterRef("pk"))
    old = Alarm.objects.filter(created_at__lt=before, spread_at__isnull=False)
    old = old.exclude(policy__may_be_frozen_since__lte=F("created_at")).exclude(Exists(pending))
    gone = old.filter(Q(policy=None) | Q(Exists(newer)))
    return _delete_rows(gone.order_by("created_at"))


def _audit(before: datetime) -> int:
    return _delete_rows(AuditEntry.objects.filter(at__lt=before).order_by("at"))


def _versions(before: datetime) -> int:
    return versions.forget(before, PhaseResult.everywhere.filter(script_version=OuterRef("pk")))


def _inventory(before: datetime) -> int:
    """Delete instances and volumes that have been gone from AWS for long; decisions about them go along."""
    gone = InventoryItem.objects.filter(gone_at__lt=before).order_by("gone_at")
    rows = list(gone[:ROWS_AT_ONCE])
    for row in rows:
        same = {"account": row.account_id, "region": row.region, "resource_id": row.resource_id}
        LeftOut.objects.filter(**same).delete()
    InventoryItem.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return len(rows)


def _sessions(before: datetime) -> int:
    """Delete the sessions that have expired."""
    return _delete_rows(Session.objects.filter(expire_date__lt=before).order_by("expire_date"))


def _first(rows: QuerySet[Run]) -> list[UUID]:
    """Return the keys of the runs that ended first."""
    return list(rows.order_by("ended_at").values_list("pk", flat=True)[:RUNS_AT_ONCE])


def _delete_rows(rows: QuerySet[Any]) -> int:
    keys = list(rows.values_list("pk", flat=True)[:ROWS_AT_ONCE])
    QuerySet(rows.model).filter(pk__in=keys).delete()
    return len(keys)


_KINDS: Mapping[str, Callable[[datetime], int]] = {
    "outputs": _outputs,
    "events": _events,
    "runs": _runs,
    "counts": _counts,
    "alarms": _alarms,
    "audit": _audit,
    "inventory": _inventory,
    "versions": _versions,
}
