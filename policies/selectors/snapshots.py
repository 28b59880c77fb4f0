"""Snapshots of all runs that a person may see, as a list shows them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import Count, QuerySet

from n2wbackup.lib import clock
from policies.domain.runs import described
from policies.models import Description, Policy, RunSnapshot
from scripts_admin import permissions
from scripts_admin.models import User

# As keyset takes it. By the run first: so the runs of a person or a policy lead to theirs by an index.
NEWEST: Sequence[str] = ("-target__run__created_at", "-pk")
# Of all snapshots there are: they are entered in this order, but for the few whose answers were lost.
NEWEST_OF_ALL: Sequence[str] = ("-pk",)


class Made(NamedTuple):
    """A snapshot, and of its volume what AWS said at the time of the backup; device and size may be unknown."""

    snapshot_id: str
    label: str  # of the policy, as it was called then
    run_id: UUID
    run_state: str
    created_at: datetime
    volume_id: str
    device: str
    size_gib: int | None
    instance_id: str
    region: str
    state: str
    progress: int
    message: str
    consistency: str
    is_restore_point: bool  # its run is
    deleted_at: datetime | None
    bin_until: datetime | None  # None, too, when that is over


def listed(user: User) -> QuerySet[RunSnapshot]:
    """Return the snapshots that the user may see, with all that a row shows, in no order."""
    rows = permissions.visible(RunSnapshot.objects.all(), user)
    return rows.select_related("target__run__policy", "target__description").order_by()


def order(user: User, *, is_narrowed: bool) -> Sequence[str]:
    """Return the order in which `listed` is found by an index, whole or narrowed."""
    is_whole = permissions.sees_everything(user) and not is_narrowed
    return NEWEST_OF_ALL if is_whole else NEWEST


def row(snapshot: RunSnapshot) -> Made:
    """Return the snapshot as a list shows it; it must be read as by `listed`. Makes no query."""
    target = snapshot.target
    document = target.description.document if target.description else {}
    return Made(
        snapshot_id=snapshot.snapshot_id,
        label=target.run.label,
        run_id=target.run_id,
        run_state=target.run.state,
        created_at=snapshot.created_at,
        volume_id=snapshot.volume_id,
        device=described.device(document, snapshot.volume_id),
        size_gib=described.size_gib(document, snapshot.volume_id),
        instance_id=target.instance_id,
        region=target.region,
        state=snapshot.state,
        progress=snapshot.progress,
        message=snapshot.message,
        consistency=target.consistency,
        is_restore_point=target.run.restore_point,
        deleted_at=snapshot.deleted_at,
        bin_until=_still(snapshot.bin_until),
    )


def _still(until: datetime | None) -> datetime | None:
    return until if until is not None and until > clock.now() else None


def gib_of(policy: Policy) -> int:
    """Return the size of the volumes behind all existing snapshots of the policy, as far as it is known."""
    rows = RunSnapshot.objects.filter(
        target__run__policy=policy,
        target__run__restore_point=True,
        state=RunSnapshot.State.COMPLETED,
    )
    numbers = rows.order_by().values_list("target__description", "volume_id")
    counted = list(numbers.annotate(number=Count("pk")))
    documents = Description.objects.in_bulk({key for key, *_ in counted if key})
    return sum(
        number * (described.size_gib(documents[key].document, volume_id) or 0)
        for key, volume_id, number in counted
        if key in documents
    )
