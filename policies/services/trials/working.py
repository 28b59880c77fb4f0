"""Trials as a worker makes them: claim, try every instance, enter what was found.

A trial takes no lease and no run's place, so no backup ever waits for one. It waits for a window of its own policy.
"""

import logging
import math
from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

from django.db import transaction

from n2wbackup.lib import claims, clock, each, outages
from policies.adapters import broker
from policies.domain.errors import BackupError
from policies.domain.trials import Kind, State, Verdict
from policies.models import Account, Policy, PolicyTarget, Trial, TrialResult
from policies.services.alarms import raising
from policies.services.trials import asking, drilling, logging_in
from policies.services.trials.found import Found

log = logging.getLogger(__name__)

CLAIM = timedelta(minutes=10)  # longer than a trial of so many instances takes
INSTANCES_OF_A_CLAIM = 3 * drilling.AT_ONCE
PAUSE = timedelta(minutes=1)
AT_ONCE = 2  # of all workers, so that they have time for backups
TRIES = 3
KEPT = timedelta(days=400)
_GONE = (
    "The process that tried it ended each time before it knew anything: look at the server's log."
)
ACTS: dict[Kind, Callable[[Policy, Account, Sequence[PolicyTarget]], list[Found]]] = {
    Kind.DRILL: drilling.drill,
    Kind.LOGIN: logging_in.log_in,
}


def execute(trial_id: UUID) -> None:
    """Make a trial, if it is due and nobody else has it. Whatever goes wrong, it comes to its end."""
    trial = _claim(trial_id)
    if trial is None:
        return
    kind, policy = Kind(trial.kind), trial.policy
    why = asking.in_the_way(policy) if kind == Kind.DRILL else ""
    if why:
        _put_off(trial, why)
        return
    targets = [target for target in policy.targets.order_by("pk") if target.remote]
    try:
        found = _try(trial, kind, targets)
    except outages.AWAY:
        raise
    except Exception as error:
        log.exception("%s of %s met an error", trial, policy)
        sentence = f"This met an error that nobody foresaw ({outages.named(error)}): look at the server's log."
        found = [Found(target, Verdict.FAILED, sentence) for target in targets]
    _end(trial, found)


def _try(trial: Trial, kind: Kind, targets: Sequence[PolicyTarget]) -> list[Found]:
    account = trial.policy.account
    if trial.tries > TRIES:
        return [Found(target, Verdict.FAILED, _GONE) for target in targets]
    try:
        return ACTS[kind](trial.policy, account, targets)
    except BackupError as error:
        return [Found(target, Verdict.FAILED, str(error)) for target in targets]


def tick() -> int:
    """Send workers to what is due and has not begun, as its hint was lost, it waited or its worker died."""
    # The claim of a trial of many instances is longer, and such a hint is harmless.
    lost = claims.due(clock.now() - PAUSE, CLAIM + PAUSE)
    due = Trial.objects.filter(lost, ended_at=None).order_by("next_at")
    return each.apart(list(due.values_list("pk", flat=True)[:AT_ONCE]), _send, "trial %s")


def _send(trial_id: UUID) -> bool:
    broker.send(broker.TRIAL, trial_id)
    return True


def _claim(trial_id: UUID) -> Trial | None:
    now = clock.now()
    working = Trial.objects.filter(state=State.WORKING, ended_at=None, next_at__gt=now)
    if working.exclude(pk=trial_id).count() >= AT_ONCE:
        return None  # a tick sends the hint again
    trial = (
        Trial.objects.select_related("policy__owner", "policy__folder", "policy__account")
        .filter(pk=trial_id, ended_at=None)
        .first()
    )
    if trial is None:
        return None
    claim = _claim_of(trial.policy)
    if not claims.is_due(trial, now, claim):
        return None
    columns = {"state": State.WORKING, "started_at": now, "tries": trial.tries + 1}
    return trial if claims.take(trial, claim, now, **columns) else None


def _claim_of(policy: Policy) -> timedelta:
    """Return for how long a trial is claimed: instances are tried a few at a time, for three minutes at most."""
    remote = sum(1 for target in policy.targets.all() if target.remote)
    return CLAIM * max(1, math.ceil(remote / INSTANCES_OF_A_CLAIM))


def _put_off(trial: Trial, why: str) -> None:
    """Let the trial wait: it is no try that failed."""
    claims.kept(
        trial,
        state=State.QUEUED,
        started_at=None,
        next_at=clock.now() + PAUSE,
        tries=trial.tries - 1,
        waiting_for=why,
    )


@transaction.atomic
def _end(trial: Trial, found: Sequence[Found]) -> None:
    """Enter the results; whoever lost the claim enters nothing."""
    now, policy = clock.now(), trial.policy
    if not claims.kept(trial, state=State.DONE, ended_at=now, waiting_for=""):
        return
    TrialResult.objects.bulk_create(
        TrialResult(
            trial=trial,
            policy=policy,
            kind=trial.kind,
            instance_id=one.target.instance_id,
            region=one.target.region,
            verdict=one.verdict,
            thaw_by=one.thaw_by,
            key=one.key,
            sentence=one.sentence,
            at=now,
        )
        for one in found
    )
    failed = [one.sentence for one in found if one.verdict == Verdict.FAILED]
    if failed and trial.kind == Kind.DRILL:
        raising.not_proven(policy, failed, now)
    Trial.objects.filter(policy=policy, ended_at__lt=now - KEPT).delete()
