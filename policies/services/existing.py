"""Whether snapshots still exist in AWS, and what follows where they do not."""

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from n2wbackup.lib import clock
from n2wbackup.lib.portions import portions
from policies.adapters import session
from policies.domain.errors import BackupError
from policies.models import Account, Run, RunSnapshot, RunTarget
from policies.services import protection, runs
from policies.services.window import credentials

log = logging.getLogger(__name__)

CALL = 200  # snapshots of one call
ROWS = 500


def by_place(rows: QuerySet[RunSnapshot]) -> Mapping[tuple[Account | None, str], list[str]]:
    """Return the ids of the snapshots by their account and region."""
    groups: dict[tuple[Account | None, str], list[str]] = defaultdict(list)
    rows = rows.select_related("target__run__account").order_by("pk")
    for row in rows.defer("target__run__account__secret_access_key"):
        groups[row.target.run.account, row.target.region].append(row.snapshot_id)
    return groups


def missing_of(account: Account, region: str, ids: Collection[str]) -> Collection[str]:
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
    for (account, region), ids in by_place(rows).items():
        if account is None:
            return f"the account of the restore points in {region} was deleted, so AWS cannot be asked for them"
        try:
            lost += missing_of(account, region, ids)
        except BackupError as error:
            return str(error)
    mark_gone(lost, clock.now())
    return f"no longer in AWS: {', '.join(lost)}" if lost else ""


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


def _usable() -> QuerySet[RunSnapshot]:
    return RunSnapshot.objects.filter(target__run=OuterRef("pk"), state=RunSnapshot.State.COMPLETED)
