"""Orders on policies and runs of a server that is working meanwhile."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db.models import Count, Max, QuerySet

from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Account, PhaseResult, Policy, PolicyTarget, Run, RunSnapshot, Schedule
from policies.services import runs
from scripts_admin.models import User
from scripts_admin.services import folders
from tests.bench.request import REGION

ON_THE_WAY = (State.QUEUED, State.PREPARING, State.FROZEN, State.THAWING)  # queued to thawed


def enter(owner: str, policies: Mapping[str, str]) -> dict[str, Any]:
    """Enter an owner with an account, and a policy of one instance for each name."""
    user = User.objects.create(username=owner)
    folder = folders.of(user)
    account = Account.objects.create(
        owner=user,
        name="bench",
        auth="keys",
        access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    )
    made = Policy.objects.bulk_create(
        Policy(owner=user, folder=folder, account=account, name=name) for name in policies
    )
    PolicyTarget.objects.bulk_create(
        PolicyTarget(policy=policy, instance_id=policies[policy.name], region=REGION)
        for policy in made
    )
    return {}


def start(names: Sequence[str]) -> dict[str, Any]:
    """Start runs of the policies now, as a person would."""
    for policy in _called(names).select_related("owner", "account"):
        runs.start(policy=policy, trigger=Trigger.MANUAL)
    return {}


def make_due(owners: Sequence[str]) -> dict[str, Any]:
    """Make all policies of these owners due at the same moment, which has just passed.

    Returns the moment from which the server can see this, in UNIX seconds.
    """
    due_at = datetime.now(UTC).replace(second=0, microsecond=0)
    of_all = Policy.objects.filter(owner__username__in=owners)
    for owner in User.objects.filter(username__in=owners):
        schedule = Schedule.objects.create(
            owner=owner,
            name="bench",
            every_number=1,
            every_unit="days",
            starting=f"{due_at:%Y-%m-%dT%H:%M}",
        )
        schedule.policies.set(of_all.filter(owner=owner))
    at = datetime.now(UTC).timestamp()
    of_all.update(next_run_at=due_at)
    return {"at": at}


def standing(owners: Sequence[str]) -> dict[str, Any]:
    """Return how many runs stand in each state, and how many have tags to be written."""
    rows = Run.objects.filter(policy__owner__username__in=owners)
    counts = rows.order_by().values_list("state").annotate(Count("pk"))
    return {"states": dict(counts), "untagged": rows.filter(tags_due=True).count()}


def outcome(owners: Sequence[str]) -> dict[str, Any]:
    """Return the results of the runs: counts by (consistency, thaw_by), and the time of the last thaw."""
    rows = Run.objects.filter(policy__owner__username__in=owners)
    counts = rows.order_by().values_list("consistency", "thaw_by").annotate(Count("pk"))
    afters = PhaseResult.objects.filter(run__in=rows, phase="after")
    last = afters.aggregate(last=Max("ended_at"))["last"]
    return {
        "counts": {f"{worth}, thawed by {who}": count for worth, who, count in counts},
        "thawed_at": last.timestamp() if last else None,
    }


def begun(owners: Sequence[str]) -> dict[str, Any]:
    """Return when before was started, in UNIX seconds, of each run that got so far."""
    rows = PhaseResult.objects.filter(
        run__policy__owner__username__in=owners, phase="before", attempt=1, target=None
    )
    starts = rows.exclude(started_at=None).values_list("started_at", flat=True)
    return {"at": [at.timestamp() for at in starts if at is not None]}


def crowd(names: Sequence[str], waiting: int, moving: int) -> dict[str, Any]:
    """Keep this many runs of these policies going.

    If too many runs wait, of any policies, the snapshots of those that wait longest are returned.
    """
    own = Run.objects.unfinished().filter(policy__in=_called(names))
    on_the_way = own.filter(state__in=ON_THE_WAY).count()
    resting = Run.objects.filter(state=State.WAITING).order_by("fired_at")
    at_rest = list(resting.values_list("pk", flat=True))
    idle = _called(names).exclude(pk__in=own.values("policy")).order_by("last_run__ended_at", "pk")
    for policy in idle.select_related("owner", "account")[: max(0, moving - on_the_way)]:
        runs.start(policy=policy, trigger=Trigger.MANUAL)
    spare = at_rest[: max(0, len(at_rest) - waiting)]
    pending = RunSnapshot.objects.filter(target__run__in=spare, state=RunSnapshot.State.PENDING)
    return {
        "moving": on_the_way,
        "waiting": len(at_rest),
        "settle": list(pending.values_list("snapshot_id", flat=True)),
    }


def _called(names: Sequence[str]) -> QuerySet[Policy]:
    return Policy.objects.filter(name__in=names)
