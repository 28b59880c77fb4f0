"""Policies with everything that pages show of them, in a fixed number of queries."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db.models import Prefetch

from policies.domain.document import fields
from policies.models import Policy, PolicyTarget, Schedule
from policies.models.querysets import OwnedQuerySet
from policies.selectors import runs
from policies.selectors.runs import RunRow
from scripts_admin import permissions
from scripts_admin.models import User

BY_OWNER = ("owner__username", "name")  # as keyset takes it


class PlannedTarget(NamedTuple):
    """A policy's target: an instance, or a volume by itself."""

    instance_id: str
    volume_id: str
    region: str
    exclude_boot_volume: bool
    exclude_volume_ids: tuple[str, ...]


class PolicyRow(NamedTuple):
    """A policy as lists show it; `schedules` are names."""

    owner: str
    name: str
    enabled: bool
    schedules: tuple[str, ...]
    last_run: RunRow | None
    last_success_at: datetime | None
    may_be_frozen_since: datetime | None


class PolicyDetail(NamedTuple):
    """A policy with all that its page shows."""

    policy: PolicyRow
    account: str
    retry_count: int
    retry_minutes: int
    targets: tuple[PlannedTarget, ...]


class FrozenPolicy(NamedTuple):
    """A policy whose application may be frozen. `may_run`: the person who asks may thaw it."""

    owner: str
    name: str
    since: datetime
    may_run: bool


def whole() -> OwnedQuerySet[Policy]:
    """Return the policies with all that pages show, in a fixed number of queries and without secrets."""
    rows = Policy.objects.select_related("owner", "folder", "account", "last_run")
    return rows.defer("account__secret_access_key").prefetch_related(
        Prefetch("targets", PolicyTarget.objects.order_by("pk")),
        Prefetch("schedules", Schedule.objects.order_by("name")),
    )


class SettingRow(NamedTuple):
    """One setting of a policy as a page shows it."""

    key: str  # as in the document
    label: str
    words: str


def settings(policy: Policy) -> tuple[SettingRow, ...]:
    """Return all settings of a policy, in the order of the document."""
    folder = policy.folder.name
    return tuple(
        SettingRow(each.key, each.label, each.in_words(getattr(policy, each.column), folder=folder))
        for each in fields.POLICY
    )


def listed(user: User) -> OwnedQuerySet[Policy]:
    """Return the policies that the user may see, by owner and name."""
    return whole().visible_to(user).order_by(*BY_OWNER)


def row(policy: Policy) -> PolicyRow:
    """Return the policy as lists show it; it must be read as by `whole`."""
    return PolicyRow(
        owner=policy.owner.username,
        name=policy.name,
        enabled=policy.enabled,
        schedules=tuple(schedule.name for schedule in policy.schedules.all()),
        last_run=runs.row(policy.last_run) if policy.last_run else None,
        last_success_at=policy.last_success_at,
        may_be_frozen_since=policy.may_be_frozen_since,
    )


def detail(policy: Policy) -> PolicyDetail:
    """Return the policy with all that its page shows; it must be read as by `whole`."""
    return PolicyDetail(
        policy=row(policy),
        account=policy.account.name,
        retry_count=policy.retry_count,
        retry_minutes=policy.retry_minutes,
        targets=tuple(_target(target) for target in policy.targets.all()),
    )


def _target(target: PolicyTarget) -> PlannedTarget:
    return PlannedTarget(
        target.instance_id,
        target.volume_id,
        target.region,
        target.exclude_boot_volume,
        tuple(target.exclude_volume_ids),
    )


def may_be_frozen(user: User, limit: int) -> Sequence[FrozenPolicy]:
    """Return policies that the user may see and that may be frozen, the longest frozen first."""
    rows = Policy.objects.visible_to(user).filter(may_be_frozen_since__isnull=False)
    found = rows.select_related("owner", "folder").order_by("may_be_frozen_since", "pk")[:limit]
    return [
        FrozenPolicy(
            owner=row.owner.username,
            name=row.name,
            since=row.may_be_frozen_since,
            may_run=permissions.may_run(user, row),
        )
        for row in found
        if row.may_be_frozen_since is not None
    ]
