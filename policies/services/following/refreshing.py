"""Whether the newest restore points still exist: AWS is asked a few at a time, so that the dashboard tells the truth.

The newest of each target is asked for every fifteen minutes. All others are compared once a day: see reconciling.py.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from n2wbackup.lib import clock, outages
from n2wbackup.lib.portions import portions
from policies.adapters import session
from policies.domain.errors import BackupError
from policies.models import Account, PolicyTarget, Run, RunSnapshot, RunTarget
from policies.services import protection, runs
from policies.services.window import credentials

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=15)
TARGETS = 1_000  # of one turn: some ten calls
CALL = 200  # snapshots of one call
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
        for place, ids in _by_place(rows).items():
            groups[place] += ids
    return groups


def _by_place(rows: QuerySet[RunSnapshot]) -> Mapping[_Place, list[str]]:
    groups: dict[_Place, list[str]] = defaultdict(list)
    rows = rows.select_related("target__run__account").order_by("pk")
    for row in rows.defer("target__run__account__secret_access_key"):
        groups[row.target.run.account, row.target.region].append(row.snapshot_id)
    return groups


def _refresh(account: Account | None, region: str, ids: Sequence[str], now: datetime) -> int:
    """Ask AWS for these; what it does not know twice in a row is gone. Returns how many are."""
    if account is None:
        return 0
    try:
        missing = _missing(account, region, ids)
    except BackupError as error:
        log.warning("the restore points in %s could not be refreshed: %s", region, error)
        return 0
    except outages.AWAY:
        raise
    except Exception:
        log.exception("the restore points of %s in %s could not be refreshed", account, region)
        return 0
    return mark_gone(missing, now)


def _missing(account: Account, region: str, ids: Collection[str]) -> Collection[str]:
    """Return those of the snapshots that AWS does not know, twice in a row."""
    cloud = session.cloud(credentials.of(account))
    missing = ids
    for _ in range(2):
        found = {
            snapshot_id
            for some in portions(missing, CALL)
            for snapshot_id in cloud.describe(region, list(some))
        }
        missing = [each_id for each_id in missing if each_id not in found]
    return missing


def why_not_all(run_ids: Collection[UUID]) -> str:
    """Ask AWS whether all snapshots of these restore points exist; say why that is not certain, or "".

    What is gone is entered so.
    """
    rows = RunSnapshot.objects.filter(target__run__in=run_ids, state=RunSnapshot.State.COMPLETED)
    lost = list[str]()
    for (account, region), ids in _by_place(rows).items():
        if account is None:
            return f"the account of the restore points in {region} was deleted, so AWS cannot be asked for them"
        try:
            lost += _missing(account, region, ids)
        except BackupError as error:
            return str(error)
    mark_gone(lost, clock.now())
    return f"no longer in AWS: {', '.join(lost)}" if lost else ""


def enter(seen: Collection[str], missing: Collection[str]) -> None:
    """Enter what a comparison of everything has found: what is there again, and what is gone.

    That went by tags, which anyone can remove: what seems to be gone is asked for by its id.
    """
    now = clock.now()
    for ids in portions(seen, ROWS):
        _mark_back(ids)
    for ids in portions(missing, ROWS):
        rows = RunSnapshot.objects.filter(snapshot_id__in=ids, state=RunSnapshot.State.COMPLETED)
        for (account, region), some in _by_place(rows).items():
            _refresh(account, region, some, now)


def mark_gone(missing: Collection[str], now: datetime) -> int:
    """Enter that these completed snapshots no longer exist; their runs say so, and protection is reckoned anew."""
    done = 0
    for ids in portions(missing, ROWS):
        with transaction.atomic():
            done += _mark_gone(ids, now)
    return done


def _mark_gone(ids: Sequence[str], now: datetime) -> int:
    # The runs first: see models/retention.py.
    of = RunTarget.objects.filter(snapshots__snapshot_id__in=ids).order_by().values("run")
    list(Run.objects.select_for_update(of=("self",)).filter(pk__in=of).order_by("pk").values("pk"))
    rows = RunSnapshot.objects.select_for_update(of=("self",)).filter(
        snapshot_id__in=ids, state=RunSnapshot.State.COMPLETED
    )
    lost = list(rows.select_related("target__run").order_by("pk"))
    if not lost:
        return 0
    keys = [row.pk for row in lost]
    RunSnapshot.objects.filter(pk__in=keys).update(state=RunSnapshot.State.GONE)
    of_run: dict[UUID, list[RunSnapshot]] = defaultdict(list)
    for row in lost:
        of_run[row.target.run_id].append(row)
    for ones in of_run.values():
        words = ", ".join(f"{one.snapshot_id} of {one.volume_id}" for one in ones)
        runs.record(ones[0].target.run, f"no longer in AWS: {words}", at=now)
        log.warning("run %s: no longer in AWS: %s", ones[0].target.run_id, words)
    affected = Run.objects.filter(pk__in=of_run)
    affected.update(gone_at=now, restore_point=Exists(_usable()))
    protection.forget({row.target_id for row in lost}, now)
    return len(lost)


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


def _usable() -> QuerySet[RunSnapshot]:
    return RunSnapshot.objects.filter(target__run=OuterRef("pk"), state=RunSnapshot.State.COMPLETED)
