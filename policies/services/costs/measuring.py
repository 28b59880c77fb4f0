"""How large the increments are: counted by EBS' lists of blocks at night, within a budget. Optional, and read-only.

Counting costs list requests, and no block is read. What cannot be counted (a permission, an archived snapshot) has a
problem in words, is tried again after some days, and is left out of the estimates.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet

from n2wbackup.lib import clock, outages
from policies.adapters import session
from policies.domain.errors import AwsError, BackupError, NotFoundError
from policies.models import Policy, PolicyCost, Run, RunSnapshot, SnapshotSize
from policies.ports.blocks import Blocks
from policies.services.costs import billing
from policies.services.window import credentials

log = logging.getLogger(__name__)

PAGE = 10_000  # blocks of one list request
AGAIN = timedelta(days=3)
LONGEST = timedelta(minutes=20)  # of one turn
KEPT_DAYS = 400


def tick() -> int:
    """Count the newest uncounted snapshots within the night's budget, then enter what each policy costs today."""
    counted = measure(settings.N2W_SIZE_REQUESTS)
    enter()
    return counted


def measure(requests: int) -> int:
    """Count snapshots until so many list requests were made, about; return how many were counted."""
    began, counted, left = clock.now(), 0, requests
    silent = set[int | None]()
    for snapshot in _uncounted(began).iterator(chunk_size=200) if requests else ():
        if left <= 0 or clock.now() - began > LONGEST:
            break
        account = snapshot.target.run.account
        if account is None or account.pk in silent:
            continue
        try:
            credentials.refuse_withdrawn(account)
            asked = _count(session.blocks(credentials.of(account)), snapshot, left, requests)
            left -= asked or left
            counted += bool(asked)
        except BackupError as error:
            log.info("the size of %s is not known: %s", snapshot, error)
            _enter(snapshot, problem=str(error))
            if isinstance(error, AwsError) and not isinstance(error, NotFoundError):
                silent.add(account.pk)
        except outages.AWAY:
            raise
    return counted


def _uncounted(now: datetime) -> QuerySet[RunSnapshot]:
    due = Q(size=None) | Q(size__blocks=None, size__measured_at__lte=now - AGAIN)
    rows = RunSnapshot.objects.filter(due, state=RunSnapshot.State.COMPLETED)
    rows = rows.filter(target__run__restore_point=True, target__run__account__isnull=False)
    read = rows.select_related("target__run__account__owner")
    return read.defer("target__run__account__secret_access_key").order_by("-pk")


def _count(blocks: Blocks, snapshot: RunSnapshot, left: int, night: int) -> int:
    """Count the blocks of a snapshot; return about how many requests that took, or 0 if they are more than are left.

    A snapshot that a whole night is not enough for has a problem that says so.
    """
    region, before = snapshot.target.region, _before(snapshot)
    most = left * PAGE
    written = _counted(blocks.listed(region, snapshot.snapshot_id).blocks, most)
    changed = written
    if before is not None and written <= most:
        listed = blocks.changed(region, before.snapshot_id, snapshot.snapshot_id)
        changed = _counted(listed, most)
    if max(written, changed) > most:
        if left == night:
            _enter(snapshot, problem=_TOO_LARGE.format(night))
        return 0
    _enter(snapshot, blocks=written, changed=changed)
    return 2 + written // PAGE + changed // PAGE


_TOO_LARGE = (
    "It has more blocks than {} list requests name: raise N2W_SIZE_REQUESTS to have it counted."
)


def _counted(blocks: Iterable[object], most: int) -> int:
    return sum(1 for _ in islice(blocks, most + 1))


def _before(snapshot: RunSnapshot) -> RunSnapshot | None:
    """Return the snapshot of the same volume that was made before, if AWS still has it."""
    same = RunSnapshot.objects.filter(
        volume_id=snapshot.volume_id,
        target__region=snapshot.target.region,
        target__run__account=snapshot.target.run.account_id,
        state=RunSnapshot.State.COMPLETED,
        created_at__lt=snapshot.created_at,
    )
    return same.order_by("-created_at").first()


def _enter(
    snapshot: RunSnapshot,
    blocks: int | None = None,
    changed: int | None = None,
    problem: str = "",
) -> None:
    SnapshotSize.objects.update_or_create(
        snapshot=snapshot,
        defaults={
            "blocks": blocks,
            "changed": changed,
            "measured_at": clock.now(),
            "problem": problem,
        },
    )


def enter() -> int:
    """Enter today's estimate of each policy that has restore points; a second time today changes it."""
    today = clock.now().date()
    prices = billing.prices()
    number = 0
    points = Run.objects.filter(policy=OuterRef("pk"), restore_point=True)
    for policy in Policy.objects.filter(Exists(points)).order_by("pk"):
        costs = billing.of_policy(policy, prices).total
        PolicyCost.objects.update_or_create(
            policy=policy,
            day=today,
            defaults={"gib": costs.gib, "month": costs.month, "unmeasured": costs.unmeasured},
        )
        number += 1
    PolicyCost.objects.filter(day__lt=today - timedelta(days=KEPT_DAYS)).delete()
    return number
