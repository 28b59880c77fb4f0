"""What is due becomes runs: each due time is run, skipped or missed, exactly once.

`Policy.next_run_at` is the earliest due time that has not been accounted for. Only this module writes it, with the
policy's row locked, so of two ticks at a time one finds nothing to do.
"""

import logging
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from operator import itemgetter

from django.db import transaction

from n2wbackup.lib import clock, each
from n2wbackup.lib.cas import compare_and_set
from policies.domain.errors import RefusedError
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.domain.schedules import reckoning
from policies.domain.schedules.reckoning import Reckoning, Span
from policies.models import Policy
from policies.services import runs
from policies.services.due import rules

log = logging.getLogger(__name__)

TICK_SECONDS = 2.0
# To a commit: enough to be cheap, little enough not to hold up other writers.
TOGETHER, COMMIT_SECONDS = 50, 0.3


def tick() -> int:
    """Account for what is due, as far as a tick's time goes; return for how many policies.

    Each owner has their turn: who has much to account for holds up nobody else. A policy that cannot be
    accounted for is logged and stays due.
    """
    now, until = clock.now(), clock.boottime() + TICK_SECONDS
    _plan_anew_what_was_planned_ahead(now)
    keys, found = deque(_in_turn(now)), 0
    while keys and clock.boottime() < until:
        found += _settle_some(keys, now)
    return found


def _in_turn(now: datetime) -> list[int]:
    """Return the policies that are due: each owner's first, each owner's second and so on."""
    due = Policy.objects.filter(next_run_at__lte=now).order_by("next_run_at")
    places: Counter[int] = Counter()
    ordered = []
    for key, owner in due.values_list("pk", "owner_id"):
        ordered.append((places[owner], key))
        places[owner] += 1
    return [key for _, key in sorted(ordered, key=itemgetter(0))]


@transaction.atomic
def _settle_some(keys: deque[int], now: datetime) -> int:
    """Settle some policies with one commit, which costs more than all else; each fails for itself."""
    trouble = "what is due of policy %s could not be accounted for"
    until = clock.boottime() + COMMIT_SECONDS

    def some() -> Iterator[int]:
        for _ in range(TOGETHER):
            yield keys.popleft()
            if not keys or clock.boottime() >= until:
                return

    # Who is being changed is left to the next tick: nobody waits here for a lock.
    return each.apart(some(), lambda key: settle(key, now, wait=False), trouble)


@transaction.atomic
def settle(key: int, now: datetime, *, wait: bool = True) -> bool:
    """Account for the due times of a policy up to now; False where there are none, or somebody else was first."""
    policy = (
        Policy.objects.select_for_update(of=("self",), skip_locked=not wait)
        .select_related("owner", "account")
        .defer("account__secret_access_key")
        .filter(pk=key, next_run_at__lte=now)
        .first()
    )
    if policy is None or policy.next_run_at is None:
        return False
    known, unknown = _known(policy)
    found = reckoning.reckon(known, policy.next_run_at, now)
    Policy.objects.filter(pk=key).update(next_run_at=found.next_at, planned_at=now)
    if unknown and not (found.run or found.missed or found.skipped):
        span = Span(policy.next_run_at, policy.next_run_at, 1)
        runs.enter_due(policy, State.MISSED, span, " ".join(unknown))
    _enter(policy, found)
    return True


@contextmanager
def replanned(keys: Iterable[int]) -> Iterator[None]:
    """Change what decides when these policies are due, within the block and a transaction of the caller's.

    What was due before is accounted for by the old rules; from now on the new ones count.
    """
    now, keys = clock.now(), sorted(keys)
    for key in keys:
        settle(key, now)
    yield
    for policy in Policy.objects.select_for_update().filter(pk__in=keys).order_by("pk"):
        known = _known(policy)[0] if policy.enabled else {}
        next_at = reckoning.following(known, now)
        Policy.objects.filter(pk=policy.pk).update(next_run_at=next_at, planned_at=now)


def replan() -> int:
    """Look at every next due time anew; return how many were others by now. What is due is left to the tick.

    A time zone may have got other rules, or be known again.
    """
    now = clock.now()
    followed = Policy.objects.filter(enabled=True, schedules__isnull=False).distinct()
    rows = followed.prefetch_related("schedules").only("pk", "next_run_at").order_by("pk")
    trouble = "policy %s could not be planned"
    return each.apart(list(rows), lambda policy: _replan(policy, now), trouble)


def _replan(policy: Policy, now: datetime) -> bool:
    next_at = reckoning.following(_known(policy)[0], now)
    if next_at == policy.next_run_at or (policy.next_run_at and policy.next_run_at <= now):
        return False
    same = Policy.objects.filter(pk=policy.pk, enabled=True)
    expected = {"next_run_at": policy.next_run_at}
    return compare_and_set(same, expected, next_run_at=next_at, planned_at=now)


def _plan_anew_what_was_planned_ahead(now: datetime) -> None:
    """A clock that was ahead for a moment must not end the backups until it gets there."""
    ahead = Policy.objects.filter(planned_at__gt=now + clock.SKEW)
    for key in list(ahead.values_list("pk", flat=True)):
        log.warning("policy %s was planned by a clock that was ahead; it is planned anew", key)
        with transaction.atomic(), replanned([key]):
            pass


def _known(policy: Policy) -> tuple[rules.Rules, list[str]]:
    """Return the rules of the policy's schedules that are known here, and log the others."""
    known, unknown = rules.known(policy.schedules.all())
    for sentence in unknown:
        log.error("policy %s: %s", policy.pk, sentence)
    return known, unknown


def _enter(policy: Policy, found: Reckoning) -> None:
    if found.missed:
        runs.enter_due(policy, State.MISSED, found.missed, _missed(found.missed, found))
    if found.skipped:
        reason = _skipped(found.skipped, found.disabled)
        runs.enter_due(policy, State.SKIPPED, found.skipped, reason)
    if found.run is not None:
        try:
            runs.start(policy=policy, trigger=Trigger.SCHEDULE, scheduled_for=found.run.at)
        except RefusedError as error:
            log.warning("%s", error)  # the clock was put back: this due time has its row


def _missed(span: Span, found: Reckoning) -> str:
    held = f", and now is a disabled time ({'; '.join(found.held)})" if found.held else ""
    return f"{_times(span)} passed while no scheduler was running{held}."


def _skipped(span: Span, disabled: Iterable[str]) -> str:
    return f"{_times(span)} lay in a disabled time ({'; '.join(disabled)})."


def _times(span: Span) -> str:
    if span.number == 1:
        return "The due time"
    return f"{span.number} due times, the last at {span.last:%Y-%m-%d %H:%M} UTC,"
