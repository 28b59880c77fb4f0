"""Due times become runs: each due time is run, skipped or missed, exactly once.

`Policy.next_run_at` is the earliest due time that is not settled yet. Only this module writes it, with
the policy's row locked, so if two ticks run at the same time, one finds nothing to do; and `replanning`,
which compares before it writes.
"""

import logging
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from operator import itemgetter

from django.db import transaction

from n2wbackup.lib import clock, each
from policies.domain.errors import RefusedError
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.domain.schedules import reckoning
from policies.domain.schedules.reckoning import Reckoning, Span
from policies.models import Policy
from policies.services import runs
from policies.services.due import objectives, pauses, rules, together

log = logging.getLogger(__name__)

TICK_SECONDS = 2.0
# Per commit: enough policies to be cheap, few enough not to delay other writers.
TOGETHER, COMMIT_SECONDS = 100, 0.3


def tick() -> int:
    """Settle the due policies, as many as the tick's time allows; return how many were settled.

    The owners take turns, so that an owner with much to settle does not delay the others. A policy that
    cannot be settled is logged and stays due.
    """
    now, until = clock.now(), clock.boottime() + TICK_SECONDS
    _plan_anew_what_was_planned_ahead(now)
    pauses.end_those_over(now)
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
    """Settle some policies with one commit, which is the expensive part; one failure leaves the others alone.

    Most are settled together. What takes longer than a commit may is put back.
    """
    trouble = "the due times of policy %s could not be settled"
    until = clock.boottime() + COMMIT_SECONDS
    some = [keys.popleft() for _ in range(min(TOGETHER, len(keys)))]
    settled = together.settle(some, now)
    rest = deque(key for key in some if key not in settled)

    def each_by_itself() -> Iterator[int]:
        while rest:
            yield rest.popleft()
            if clock.boottime() >= until:
                return

    # A policy that is being changed is left to the next tick: the tick waits for no lock.
    alone = each.apart(each_by_itself(), lambda key: settle(key, now, wait=False), trouble)
    keys.extendleft(reversed(rest))
    return len(settled) + alone


@transaction.atomic
def settle(key: int, now: datetime, *, wait: bool = True) -> bool:
    """Settle the due times of a policy up to now; False if there are none, or another process was first."""
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
    """Run a block that changes when these policies are due; the caller has opened a transaction.

    Due times up to now are settled by the old rules; from now on the new ones apply.
    """
    now, keys = clock.now(), sorted(keys)
    for key in keys:
        settle(key, now)
    yield
    for policy in Policy.objects.select_for_update().filter(pk__in=keys).order_by("pk"):
        known = _known(policy)[0] if policy.enabled else {}
        next_at = reckoning.following(known, pauses.counted_from(policy.paused_until, now))
        Policy.objects.filter(pk=policy.pk).update(next_run_at=next_at, planned_at=now)
    objectives.reckon(keys)


def _plan_anew_what_was_planned_ahead(now: datetime) -> None:
    """Plan again what was planned while the clock was ahead; else no backup would start until that time."""
    ahead = Policy.objects.filter(planned_at__gt=now + clock.SKEW)
    for key in list(ahead.values_list("pk", flat=True)):
        log.warning("policy %s was planned while the clock was ahead; it is planned again", key)
        with transaction.atomic(), replanned([key]):
            pass


def _known(policy: Policy) -> tuple[rules.Rules, list[str]]:
    """Return the rules of the policy's schedules with a known time zone, and log the others."""
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
            log.warning("%s", error)  # the clock was set back: this due time already has a row


def _missed(span: Span, found: Reckoning) -> str:
    held = f", and now is a disabled time ({'; '.join(found.held)})" if found.held else ""
    return f"{_times(span)} passed while no scheduler was running{held}."


def _skipped(span: Span, disabled: Iterable[str]) -> str:
    return f"{_times(span)} fell into a disabled time ({'; '.join(disabled)})."


def _times(span: Span) -> str:
    if span.number == 1:
        return "The due time"
    return f"{span.number} due times, the last at {span.last:%Y-%m-%d %H:%M} UTC,"
