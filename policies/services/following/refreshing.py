"""Whether the newest restore points still exist: AWS is asked a few at a time, so that the dashboard tells the truth.

The newest of each target is asked for every fifteen minutes. All others are compared once a day: see reconciling.py.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from n2wbackup.lib import clock, outages
from n2wbackup.lib.portions import portions
from policies.domain.errors import BackupError
from policies.models import Account, PolicyTarget, Run, RunSnapshot
from policies.services import existing, protection, runs

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=15)
TARGETS = 1_000  # of one turn: some ten calls
ROWS = 500
_Place = tuple[Account | None, str]


def tick() -> int:
    """Ask for the restore points that were not asked for the longest; return how many snapshots are gone."""
    now = clock.now()
    asked = Q(checked_at__lte=now - EVERY) | Q(checked_at__gt=now + clock.SKEW)
    rows = PolicyTarget.objects.filter(asked, crash_point__isnull=False).order_by("checked_at")
    found = list(rows.values_list("pk", "crash_point_id", "application_point_id")[:TARGETS])
    points = {key for _, crash, application in found for key in (crash, application or crash)}
    gone = 0
    for (account, region), ids in _of_points(points).items():
        gone += _refresh(account, region, ids, now)
    # Also where AWS did not answer: it is asked again in the next round, and the others get their turn.
    for keys in portions((pk for pk, *_ in found), ROWS):
        PolicyTarget.objects.filter(pk__in=keys, checked_at__isnull=False).update(checked_at=now)
    return gone


def _of_points(points: Iterable[int]) -> Mapping[_Place, list[str]]:
    groups: dict[_Place, list[str]] = defaultdict(list)
    for keys in portions(points, ROWS):
        rows = RunSnapshot.objects.filter(target__in=keys, state=RunSnapshot.State.COMPLETED)
        for place, ids in existing.by_place(rows).items():
            groups[place] += ids
    return groups


def _refresh(account: Account | None, region: str, ids: Sequence[str], now: datetime) -> int:
    """Ask AWS for these; what it does not know twice in a row is gone. Returns how many are."""
    if account is None:
        return 0
    try:
        missing = existing.missing_of(account, region, ids)
    except BackupError as error:
        log.warning("the restore points in %s could not be refreshed: %s", region, error)
        return 0
    except outages.AWAY:
        raise
    except Exception:
        log.exception("the restore points of %s in %s could not be refreshed", account, region)
        return 0
    return existing.mark_gone(missing, now)


def enter(seen: Collection[str], missing: Collection[str]) -> None:
    """Enter what a comparison of everything has found: what is there again, and what is gone.

    That went by tags, which anyone can remove: what seems to be gone is asked for by its id.
    """
    now = clock.now()
    for ids in portions(seen, ROWS):
        _mark_back(ids)
    for ids in portions(missing, ROWS):
        rows = RunSnapshot.objects.filter(snapshot_id__in=ids, state=RunSnapshot.State.COMPLETED)
        for (account, region), some in existing.by_place(rows).items():
            _refresh(account, region, some, now)


@transaction.atomic
def _mark_back(ids: Sequence[str]) -> None:
    """Enter what was taken for gone and is there: AWS may have answered from another account."""
    rows = RunSnapshot.objects.filter(snapshot_id__in=ids, state=RunSnapshot.State.GONE)
    back = list(rows.select_related("target__run"))
    if not back:
        return
    RunSnapshot.objects.filter(pk__in=[row.pk for row in back]).update(
        state=RunSnapshot.State.COMPLETED
    )
    affected = Run.objects.filter(pk__in={row.target.run_id for row in back})
    still = RunSnapshot.objects.filter(target__run=OuterRef("pk"), state=RunSnapshot.State.GONE)
    affected.update(restore_point=True)
    affected.exclude(Exists(still)).update(gone_at=None)
    for row in back:
        runs.record(row.target.run, f"{row.snapshot_id} of {row.volume_id} is in AWS again")
    protection.reconsider(row.target.run.policy_id for row in back)
