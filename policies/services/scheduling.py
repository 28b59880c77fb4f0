"""What is due becomes runs: each due time is run, skipped or missed, exactly once.

`Policy.next_run_at` is the earliest due time that has not been accounted for. Only this module writes it, with the
policy's row locked, so of two ticks at a time one finds nothing to do.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db import transaction

from n2wbackup.lib import clock
from policies.domain import reckoning
from policies.domain.errors import RefusedError
from policies.domain.reckoning import Reckoning, Span
from policies.domain.sequence import State
from policies.models import Policy, Run
from policies.services import each, runs, timetables

log = logging.getLogger(__name__)

TOGETHER = (
    50  # policies to a commit: many enough to be cheap, few enough not to hold up other writers
)


def tick() -> int:
    """Account for all that is due; return for how many policies. One that cannot be is logged and stays due."""
    now = clock.now()
    due = Policy.objects.filter(next_run_at__lte=now).order_by("next_run_at")
    keys = list(due.values_list("pk", flat=True))
    return sum(_settle_all(keys[at : at + TOGETHER], now) for at in range(0, len(keys), TOGETHER))


@transaction.atomic
def _settle_all(keys: Iterable[int], now: datetime) -> int:
    """Settle some policies with one commit, which costs more than all else; each fails for itself."""
    trouble = "what is due of policy %s could not be accounted for"
    return each.apart(keys, lambda key: settle(key, now), trouble)


@transaction.atomic
def settle(key: int, now: datetime) -> bool:
    """Account for the due times of a policy up to now; False where there are none, or somebody else was first."""
    policy = (
        Policy.objects.select_for_update(of=("self",))
        .select_related("owner", "account")
        .defer("account__secret_access_key")
        .filter(pk=key, next_run_at__lte=now)
        .first()
    )
    if policy is None or policy.next_run_at is None:
        return False
    rules = timetables.rules(policy.schedules.all())
    found = reckoning.reckon(rules, policy.next_run_at, now)
    Policy.objects.filter(pk=key).update(next_run_at=found.next_at)
    _enter(policy, found)
    return True


@contextmanager
def replanned(keys: Iterable[int]) -> Iterator[None]:
    """Change what decides when these policies are due, within the block and a transaction of the caller's.

    What was due before is accounted for by the old rules; from now on the new ones count.
    """
    now, keys = clock.now(), sorted(keys)
    for key in keys:
        with _unless_unknown(key):
            settle(key, now)
    yield
    for policy in Policy.objects.select_for_update().filter(pk__in=keys).order_by("pk"):
        with _unless_unknown(policy.pk):
            rules = timetables.rules(policy.schedules.all()) if policy.enabled else {}
            Policy.objects.filter(pk=policy.pk).update(next_run_at=reckoning.following(rules, now))


@contextmanager
def _unless_unknown(key: int) -> Iterator[None]:
    """Go on where a schedule's time zone is not known here: whoever puts that right must be able to save it."""
    try:
        yield
    except ValueError as error:
        log.error("policy %s cannot be planned: %s", key, error)  # noqa: TRY400 - the sentence says it all


def _enter(policy: Policy, found: Reckoning) -> None:
    if found.missed:
        runs.enter_due(policy, State.MISSED, found.missed, _missed(found.missed, found))
    if found.skipped:
        reason = _skipped(found.skipped, found.disabled)
        runs.enter_due(policy, State.SKIPPED, found.skipped, reason)
    if found.run is not None:
        try:
            runs.start(policy=policy, trigger=Run.Trigger.SCHEDULE, scheduled_for=found.run.at)
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
