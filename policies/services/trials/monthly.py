"""The drill that nobody asks for: each policy with scripts on instances, in each 30 days at a moment of its own."""

from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q

from n2wbackup.lib import clock
from policies.domain import trials
from policies.domain.errors import RefusedError
from policies.domain.trials import Kind
from policies.models import Policy, PolicyTarget, Trial
from policies.services.servers import turns
from policies.services.trials import asking

EVERY_SECONDS = (
    300  # so many policies that are due at the same moment are drilled one after the other
)
BEFORE_A_BACKUP = timedelta(minutes=10)


def tick() -> int:
    """Queue the drill of at most one policy that is due; return how many."""
    if not turns.take("drills", EVERY_SECONDS - 1):
        return 0
    now = clock.now()
    for policy in _candidates():
        if _is_due(policy, now) and _drill(policy):
            return 1
    return 0


def _candidates() -> list[Policy]:
    """Return the policies that freeze by themselves, on instances, and have done it before."""
    there = PolicyTarget.objects.filter(policy=OuterRef("pk")).exclude(remote_by="")
    rows = Policy.objects.filter(
        Exists(there), enabled=True, scripts_enabled=True, paused_at=None, last_run__isnull=False
    )
    return list(rows.select_related("owner").order_by("pk"))


def _is_due(policy: Policy, now: datetime) -> bool:
    since = trials.slot(policy.pk, now)
    ahead = policy.next_run_at
    if ahead is not None and now <= ahead <= now + BEFORE_A_BACKUP:
        return False  # a backup is about to begin, and goes first
    asked = Trial.objects.filter(policy=policy, kind=Kind.DRILL)
    return not asked.filter(Q(asked_at__gte=since) | Q(ended_at=None)).exists()


def _drill(policy: Policy) -> bool:
    if asking.in_the_way(policy):
        return False
    try:
        asking.ask(policy, Kind.DRILL, by="")
    except RefusedError:  # somebody was faster
        return False
    return True
