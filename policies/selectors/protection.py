"""What is protected and what is not, counted and listed by index: no run is read for it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Count, Q

from n2wbackup.lib import clock
from policies.domain import protection
from policies.domain.protection import Judgement, Limits, Points, State
from policies.domain.runs.verdict import Consistency
from policies.models import Policy, PolicyTarget
from policies.models.querysets import OwnedQuerySet
from scripts_admin.models import User

FROZEN, FAILING, ATTENTION = "frozen", "failing", "attention"


class Counts(NamedTuple):
    """How many policies are in each state; `frozen` and `failing` are counted besides."""

    total: int = 0
    protected: int = 0
    late: int = 0
    unprotected: int = 0
    never: int = 0
    paused: int = 0
    frozen: int = 0
    failing: int = 0


class TargetRow(NamedTuple):
    """A target with what protects it: the ages of its restore points, application and crash apart."""

    resource: str
    region: str
    state: str
    words: str
    application_at: datetime | None
    crash_at: datetime | None
    lost_at: datetime | None


def judged(policy: Policy, now: datetime) -> Judgement:
    """Return the policy's protection; makes no query."""
    found = Limits(policy.protected_until, policy.unprotected_from)
    return protection.judge(
        found, now, paused=policy.paused_since is not None, paused_since=policy.paused_since
    )


def counts(user: User) -> Counts:
    """Count what the user may see."""
    now, rows = clock.now(), Policy.objects.visible_to(user)
    overdue = rows.filter(protected_until__lte=now).aggregate(
        never=Count("pk", filter=_query(State.NEVER, now)),
        unprotected=Count("pk", filter=_query(State.UNPROTECTED, now)),
        late=Count("pk", filter=_query(State.LATE, now)),
    )
    paused = rows.filter(_query(State.PAUSED, now)).count()
    total = rows.count()
    return Counts(
        **overdue,
        total=total,
        paused=paused,
        protected=total - paused - sum(overdue.values()),
        frozen=rows.filter(_query(FROZEN, now)).count(),
        failing=rows.filter(_query(FAILING, now)).count(),
    )


def in_state(rows: OwnedQuerySet[Policy], state: str, now: datetime) -> OwnedQuerySet[Policy]:
    """Return the policies in a state, or `frozen`, `failing`, or what needs `attention`."""
    return rows.filter(_query(state, now))


def _query(state: str, now: datetime) -> Q:
    runs_by_itself = Q(paused_since=None)
    never = Q(protected_until=protection.NEVER_UNTIL)
    queries = {
        State.PROTECTED: runs_by_itself & Q(protected_until__gt=now),
        State.LATE: runs_by_itself
        & Q(protected_until__gt=protection.NEVER_UNTIL, protected_until__lte=now)
        & Q(unprotected_from__gt=now),
        State.UNPROTECTED: runs_by_itself
        & Q(protected_until__gt=protection.NEVER_UNTIL, protected_until__lte=now)
        & Q(unprotected_from__lte=now),
        State.NEVER: runs_by_itself & never,
        State.PAUSED: Q(paused_since__isnull=False),
        FROZEN: Q(may_be_frozen_since__isnull=False),
        FAILING: Q(failed_since__isnull=False),
        ATTENTION: runs_by_itself & Q(protected_until__lte=now),
    }
    return queries[state]


def targets(policy: Policy, now: datetime) -> Sequence[TargetRow]:
    """Return the policy's targets with their protection; they must be read already."""
    return [
        _target(policy, target, now) for target in sorted(policy.targets.all(), key=lambda t: t.pk)
    ]


def _target(policy: Policy, target: PolicyTarget, now: datetime) -> TargetRow:
    points = Points(target.application_at, target.crash_at, target.lost_at)
    allowed = timedelta(seconds=policy.objective_seconds or 0)
    found = protection.judge(
        protection.limits(points, policy.requires, allowed, now),
        now,
        paused=policy.paused_since is not None,
        paused_since=policy.paused_since,
    )
    return TargetRow(
        resource=str(target),
        region=target.region,
        state=found.state,
        words=found.in_words(now),
        application_at=target.application_at,
        crash_at=target.crash_at,
        lost_at=target.lost_at,
    )


def objective(policy: Policy) -> str:
    """Return in words how old the policy's newest restore point may be, and what says so."""
    if policy.rpo_hours:
        return f"{protection.span_in_words(timedelta(hours=policy.rpo_hours))}, as set"
    if policy.objective_seconds is None:
        return "none: set one, or let the policy follow a schedule"
    span = timedelta(seconds=policy.objective_seconds)
    return f"{protection.span_in_words(span)}, from its schedules"


def requires_application(policy: Policy) -> bool:
    return policy.requires == Consistency.APPLICATION
