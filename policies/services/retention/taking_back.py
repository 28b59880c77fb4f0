"""What the Recycle Bin still has comes back, with its tags, and is held: the rules would let it go at once."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import transaction

from n2wbackup.lib import clock
from policies.adapters import session
from policies.domain.errors import NotFoundError, RefusedError
from policies.domain.retention.points import HoldKind
from policies.models import Hold, Removal, Run, RunSnapshot
from policies.services import protection, runs
from policies.services.window import credentials
from scripts_admin.domain.audit import Action, Kind
from scripts_admin.services import audit

REASON = "taken back from the Recycle Bin"


def in_bin(run: Run) -> Sequence[RunSnapshot]:
    """Return the run's deleted snapshots that the Recycle Bin still has, by what it said at their deletion."""
    rows = RunSnapshot.objects.filter(
        target__run=run, state=RunSnapshot.State.DELETED, bin_until__gt=clock.now()
    )
    return list(rows.select_related("target"))


def until(run: Run) -> datetime | None:
    """Return until when the whole restore point can be taken back; None: it cannot."""
    rows = in_bin(run)
    gone = RunSnapshot.objects.filter(target__run=run, state=RunSnapshot.State.DELETED)
    if not rows or gone.count() != len(rows):
        return None
    return min(row.bin_until for row in rows if row.bin_until)


def take_back(run: Run, *, by: str) -> None:
    """Take every snapshot of the run out of the Recycle Bin; RefusedError if one of them is not there.

    It may be repeated: what has come back already is left as it is.
    """
    rows = in_bin(run)
    if not rows:
        message = f"The Recycle Bin has nothing of run {run.pk}: nothing can be taken back."
        raise RefusedError(message)
    if run.account is None:
        message = (
            f"Run {run.pk} has no account any more: take the snapshots back in the AWS console."
        )
        raise RefusedError(message)
    credentials.refuse_withdrawn(run.account)
    given = credentials.of(run.account)
    removing, cloud = session.removing(given), session.cloud(given)
    for region, some in _by_region(rows).items():
        for row in some:
            try:
                removing.take_back(region, row.snapshot_id)
            except NotFoundError as error:
                if row.snapshot_id not in cloud.describe(region, [row.snapshot_id]):
                    message = f"{row.snapshot_id} is no longer in the Recycle Bin: it cannot be taken back."
                    raise RefusedError(message) from error
            _enter(run, row, by)


def _by_region(rows: Sequence[RunSnapshot]) -> Mapping[str, list[RunSnapshot]]:
    found: defaultdict[str, list[RunSnapshot]] = defaultdict(list)
    for row in rows:
        found[row.target.region].append(row)
    return found


@transaction.atomic
def _enter(run: Run, snapshot: RunSnapshot, by: str) -> None:
    """Enter that it exists again. The hold comes in the same transaction, so no tick lets it go in between."""
    now = clock.now()
    row = Run.objects.select_for_update(of=("self",)).get(pk=run.pk)
    back = RunSnapshot.objects.filter(pk=snapshot.pk, state=RunSnapshot.State.DELETED)
    if not back.update(state=RunSnapshot.State.COMPLETED, deleted_at=None, bin_until=None):
        return
    Removal.objects.filter(run=row).delete()
    Run.objects.filter(pk=row.pk).update(restore_point=True)
    held = Hold.objects.filter(run=row, kind=HoldKind.FREEZER, released_at=None)
    if not held.exists():
        Hold.objects.create(run=row, kind=HoldKind.FREEZER, reason=REASON, by=by, created_at=now)
    what = f"{snapshot.snapshot_id} of {snapshot.volume_id}"
    runs.record(row, f"{what} was taken back from the Recycle Bin by {by}", at=now)
    protection.reconsider([row.policy_id])
    audit.record(Action.TOOK_BACK, audit.subject(Kind.RUN, row, row.label), reason=what)
