"""Copies of snapshots, as pages, recoveries and proofs read them."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from policies.domain.copies.states import CopyState
from policies.models import Account, Copy, CopyRule, Run, RunSnapshot
from scripts_admin import permissions
from scripts_admin.models import User


class Usable(NamedTuple):
    """A completed copy, from which a volume can be made as from its source: in this account and region."""

    snapshot_id: str
    account: Account
    region: str
    volume_id: str  # of which its source is a snapshot
    source_id: str
    instance_id: str
    consistency: str
    key: UUID
    source: RunSnapshot


class Shown(NamedTuple):
    """A copy as a list shows it."""

    snapshot_id: str
    source_id: str
    volume_id: str
    account: str
    region: str
    state: str
    progress: int
    message: str
    created_at: datetime
    completed_at: datetime | None
    deleted_at: datetime | None
    run_id: UUID
    completion_minutes: int
    is_late: bool
    key: UUID
    goes_after: datetime | None  # announced
    goes_why: str
    place: str  # as `sources.place` names it; "" if its account was deleted

    @property
    def is_usable(self) -> bool:
        return self.state == CopyState.COMPLETED and bool(self.account)


def usable(run: Run) -> list[Usable]:
    """Return the run's completed copies in accounts of its owner, in the order of their places."""
    found = (
        Copy.objects.filter(run=run, state=CopyState.COMPLETED, account__owner=run.owner_id)
        .select_related("account__owner", "source__target__description")
        .order_by("region", "account", "pk")
    )
    return [
        Usable(
            copy.snapshot_id,
            copy.account,
            copy.region,
            copy.source.volume_id,
            copy.source.snapshot_id,
            copy.source.target.instance_id,
            copy.source.target.consistency,
            copy.pk,
            copy.source,
        )
        for copy in found
        if copy.account is not None
    ]


def place(own: int | None, account: Account, region: str) -> str:
    """Return the name of a place: its region, and its account if that is not the run's own."""
    return region if account.pk == own else f"{account.name}/{region}"


def of_run(run: Run) -> list[Shown]:
    """Return all copies of the run's snapshots, also those that are gone."""
    return [_shown(copy) for copy in _read(Copy.objects.filter(run=run))]


def of_snapshots(rows: Collection[RunSnapshot]) -> dict[int, list[Shown]]:
    """Return the copies of these snapshots by the key of their source; in one query, and in no order of its own."""
    found: defaultdict[int, list[Shown]] = defaultdict(list)
    # By their runs: copies are found by an index of these.
    runs = {row.target.run_id for row in rows}
    keys = {row.pk for row in rows}
    for copy in _read(Copy.objects.filter(run__in=runs)) if runs else ():
        if copy.source_id in keys:
            found[copy.source_id].append(_shown(copy))
    return dict(found)


def named(key: UUID | None) -> Copy | None:
    """Return the copy; None if none is named."""
    return Copy.objects.select_related("account__owner").get(pk=key) if key else None


def with_copies(rows: QuerySet[Run]) -> QuerySet[Run]:
    """Return those of the runs that have a completed copy."""
    there = Copy.objects.filter(run=OuterRef("pk"), state=CopyState.COMPLETED)
    return rows.filter(Exists(there))


def newest(rule: CopyRule, most: int = 50) -> list[Shown]:
    """Return the newest copies by a rule."""
    return [_shown(copy) for copy in _read(Copy.objects.filter(rule=rule))[:most]]


def visible_to(user: User) -> QuerySet[Copy]:
    """Return the copies of the runs that the user may see."""
    return Copy.objects.filter(run__in=permissions.visible(Run.objects.all(), user))


def _read(rows: QuerySet[Copy]) -> QuerySet[Copy]:
    read = rows.select_related("account", "source", "run", "rule__policy").defer(
        "account__secret_access_key"
    )
    return read.order_by("-created_at", "pk")


def _shown(copy: Copy) -> Shown:
    return Shown(
        snapshot_id=copy.snapshot_id,
        source_id=copy.source.snapshot_id,
        volume_id=copy.source.volume_id,
        account=copy.account.name if copy.account else "",
        region=copy.region,
        state=copy.state,
        progress=copy.progress,
        message=copy.message,
        created_at=copy.created_at,
        completed_at=copy.completed_at,
        deleted_at=copy.deleted_at,
        run_id=copy.run_id,
        completion_minutes=copy.completion_minutes,
        is_late=copy.late_told_at is not None,
        key=copy.pk,
        goes_after=copy.goes_after if _is_announced(copy) else None,
        goes_why=copy.goes_why if _is_announced(copy) else "",
        place=place(copy.run.account_id, copy.account, copy.region) if copy.account else "",
    )


def _is_announced(copy: Copy) -> bool:
    """Copies of a rule that was removed, or keeps all by now, stay whatever was announced."""
    return (
        copy.state == CopyState.COMPLETED
        and copy.rule is not None
        and not copy.rule.rules.keeps_all
    )


def by_place(run: Run) -> Sequence[tuple[str, int]]:
    """Return how many usable copies of the run there are in each place, in words."""
    counted: dict[str, int] = {}
    for one in usable(run):
        place = f"{one.account.name}, {one.region}"
        counted[place] = counted.get(place, 0) + 1
    return tuple(counted.items())
