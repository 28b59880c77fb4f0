"""Whole-run retries: a failed run is started again, and each attempt is a run of its own."""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from n2wbackup.lib import clock, each
from n2wbackup.lib.cas import compare_and_set
from policies.domain.errors import RefusedError
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.domain.schedules import schedule
from policies.domain.schedules.reckoning import LATE
from policies.models import Policy, Run
from policies.services import runs
from policies.services.due import pauses, rules


def tick() -> int:
    """Start the due retries, or note in the run's history why one is left out; return how many were due."""
    now = clock.now()
    due = Run.objects.filter(_is_due(now)).order_by("retry_at")
    keys = list(due.values_list("pk", flat=True))
    return each.apart(
        keys, lambda key: _settle(key, now), "the retry of run %s could not be started"
    )


def _is_due(now: datetime) -> Q:
    """Match the runs whose retry is due, and those from before the clock was set back."""
    # All that is due has a `retry_at`: said by itself, so that the index of these rows serves for both.
    return Q(retry_at__isnull=False) & (Q(retry_at__lte=now) | Q(ended_at__gt=now + clock.SKEW))


@transaction.atomic
def _settle(key: UUID, now: datetime) -> bool:
    """Start the retry of the run or leave it out; False if another process was first."""
    run = (
        Run.objects.select_related("policy__owner", "policy__account")
        .defer("policy__account__secret_access_key")
        .filter(_is_due(now), pk=key)
        .first()
    )
    if run is None or run.retry_at is None:
        return False
    due_at = run.retry_at
    if Run.objects.unfinished().filter(policy=run.policy_id, trigger=Trigger.TEST).exists():
        return False  # a test is soon over, and creates no snapshots, so the retry is still needed
    # The row first: of two ticks at the same time, exactly one starts the retry.
    if not compare_and_set(Run.objects.filter(pk=key), {"retry_at": due_at}, retry_at=None):
        return False
    runs.record(run, _retry(run, due_at, now), at=now)
    return True


def _retry(run: Run, due_at: datetime, now: datetime) -> str:
    policy = run.policy
    reason = _why_not(run, policy, due_at, now)
    if policy is None or reason:
        return f"the retry is left out: {reason}"
    try:
        made = runs.start(
            policy=policy,
            trigger=Trigger.RETRY,
            requested_by=run.requested_by,
            scheduled_for=run.scheduled_for,
            attempt=run.attempt + 1,
        )
    except RefusedError as error:
        return f"the retry is left out: {error}"
    return f"retried as run {made.pk}"


def _why_not(run: Run, policy: Policy | None, due_at: datetime, now: datetime) -> str:
    if policy is None:
        return "the policy was deleted"
    off = _off(policy, now)
    if off:
        return off
    if run.attempt > policy.retry_count:
        return "the policy has fewer retries now"
    if now - due_at >= LATE:
        return "no scheduler was running when it was due"
    newer = policy.runs.filter(created_at__gt=run.created_at, started_at__isnull=False)
    later = newer.exclude(trigger=Trigger.TEST).exclude(state=State.CANCELLED).first()
    if later is not None:
        return f"run {later.pk} has started since"
    held = schedule.held(rules.of(policy.schedules.all()), now)
    return f"now is a disabled time ({'; '.join(held)})" if held else ""


def _off(policy: Policy, now: datetime) -> str:
    if not policy.enabled:
        return "the policy is disabled"
    if pauses.is_paused(policy, now):
        return f"the policy is paused until {policy.paused_until:%Y-%m-%d %H:%M} UTC"
    return ""
