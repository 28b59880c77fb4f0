"""What the dashboard and the list of policies show, as typed rows. Each query is an index search."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import Q

from n2wbackup.lib import clock
from policies.domain.protection import WORST
from policies.models import Policy, Run, RunSnapshot
from policies.models.querysets import OwnedQuerySet
from policies.selectors import protection
from policies.selectors.protection import Counts
from scripts_admin.models import User

NEXT, SHOWN = 6, 10
RUNNING = 50


class PolicyLine(NamedTuple):
    """A policy as lists show it. `hold_seconds` and `last_state` are of its last run."""

    key: int
    owner: str
    name: str
    enabled: bool
    state: str
    words: str
    protected_until: datetime
    last_success_at: datetime | None
    failed_since: datetime | None
    next_run_at: datetime | None
    may_be_frozen_since: datetime | None
    last_run: UUID | None
    last_state: str
    last_reason: str
    hold_seconds: float | None

    @property
    def label(self) -> str:
        return f"{self.owner}/{self.name}"


class RunningRow(NamedTuple):
    id: UUID
    label: str
    state: str
    trigger: str
    since: datetime
    waiting_for: str
    may_be_frozen: bool


class LostRow(NamedTuple):
    """A run of which snapshots were deleted behind the product's back."""

    run: UUID
    label: str
    made_at: datetime | None
    noticed_at: datetime
    whole: bool  # nothing is left of it
    snapshots: tuple[str, ...]


_COLUMNS = (
    *("owner__username", "name", "enabled", "paused_since", "protected_until", "unprotected_from"),
    *("last_success_at", "failed_since", "next_run_at", "may_be_frozen_since"),
    *("last_run__state", "last_run__reason", "last_run__hold_seconds"),
)


def policies(user: User) -> OwnedQuerySet[Policy]:
    """Return what the user may see, with what `line` needs, in no order."""
    rows = Policy.objects.visible_to(user).select_related("owner", "last_run")
    return rows.only(*_COLUMNS)


def line(policy: Policy, now: datetime) -> PolicyLine:
    """Return the policy as lists show it; it must be read as by `policies`."""
    found = protection.judged(policy, now)
    last = policy.last_run
    return PolicyLine(
        key=policy.pk,
        owner=policy.owner.username,
        name=policy.name,
        enabled=policy.enabled,
        state=found.state,
        words=found.in_words(now),
        protected_until=policy.protected_until,
        last_success_at=policy.last_success_at,
        failed_since=policy.failed_since,
        next_run_at=policy.next_run_at,
        may_be_frozen_since=policy.may_be_frozen_since,
        last_run=last.pk if last else None,
        last_state=last.state if last else "",
        last_reason=last.reason if last else "",
        hold_seconds=last.hold_seconds if last else None,
    )


def worst(user: User, limit: int = SHOWN) -> Sequence[PolicyLine]:
    """Return the policies that have been out of protection for the longest, those that never had any first."""
    now = clock.now()
    rows = policies(user).filter(paused_since=None)
    found = rows.order_by("protected_until", "pk")[:limit]
    return sorted((line(row, now) for row in found), key=_rank)


def _rank(row: PolicyLine) -> int:
    return _WORST.index(row.state)


_WORST = tuple(str(state) for state in WORST)


def failing(user: User, limit: int = SHOWN) -> Sequence[PolicyLine]:
    """Return the policies that have not succeeded since they failed, those that failed first at the top."""
    rows = policies(user).filter(failed_since__isnull=False)
    return [line(row, clock.now()) for row in rows.order_by("failed_since", "pk")[:limit]]


def coming(user: User) -> Sequence[PolicyLine]:
    """Return what runs next."""
    rows = policies(user).filter(next_run_at__isnull=False)
    return [line(row, clock.now()) for row in rows.order_by("next_run_at", "pk")[:NEXT]]


def running(user: User) -> Sequence[RunningRow]:
    """Return the unfinished runs in the order of their beginning: a row keeps its place while it is there."""
    rows = Run.objects.unfinished().visible_to(user)
    columns = rows.only(
        *("policy_name", "owner_name", "state", "trigger", "created_at", "waiting_for"),
    )
    found = sorted(columns.order_by()[:RUNNING], key=lambda run: (run.created_at, run.pk))
    return [
        RunningRow(
            run.pk,
            run.label,
            run.state,
            run.trigger,
            run.created_at,
            run.waiting_for,
            run.state in {"frozen", "thawing"},
        )
        for run in found
    ]


def lost(user: User, policy: Policy | None = None, limit: int = SHOWN) -> Sequence[LostRow]:
    """Return the restore points of which snapshots are gone, the last noticed first."""
    rows = Run.objects.filter(gone_at__isnull=False).visible_to(user)
    if policy is not None:
        rows = rows.filter(policy=policy)
    found = list(rows.order_by("-gone_at")[:limit])
    snapshots: dict[UUID, list[str]] = {run.pk: [] for run in found}
    gone = RunSnapshot.objects.filter(
        Q(target__run__in=list(snapshots)), state=RunSnapshot.State.GONE
    )
    for run, snapshot in gone.order_by("pk").values_list("target__run", "snapshot_id"):
        snapshots[run].append(snapshot)
    return [
        LostRow(
            run.pk,
            run.label,
            run.fired_at,
            run.gone_at or clock.now(),
            not run.restore_point,
            tuple(snapshots[run.pk]),
        )
        for run in found
    ]


def verdict(counts: Counts) -> tuple[str, str]:
    """Return how it stands, as a colour (good, warn or bad) and in one sentence."""
    parts = [
        _said(counts.frozen, "application may be frozen", "applications may be frozen"),
        _said(counts.unprotected, "policy is unprotected", "policies are unprotected"),
        _said(counts.never, "policy was never backed up", "policies were never backed up"),
        _said(counts.late, "policy is overdue", "policies are overdue"),
        _said(counts.failing, "policy is failing", "policies are failing"),
    ]
    told = [part for part in parts if part]
    if not counts.total:
        return "warn", "Nothing is backed up yet."
    if told:
        is_bad = counts.frozen or counts.unprotected or counts.never
        return ("bad" if is_bad else "warn"), f"{'; '.join(told)}."
    one = "The one policy is" if counts.total == 1 else f"All {counts.total} policies are"
    if counts.paused == counts.total:
        return "warn", f"{one} paused: nothing is frozen, and nothing is backed up."
    if counts.paused:
        return "good", (
            f"Nothing is frozen, overdue or failing; {counts.protected} protected, {counts.paused} paused."
        )
    return "good", f"{one} protected. Nothing is frozen, overdue or failing."


def _said(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}" if number else ""
