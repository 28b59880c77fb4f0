"""Restore points that the rules let go are deleted: announced first, then a few at a time.

The steps for each: the intent is committed (removals.py), AWS is asked whether the snapshots and the restore points
because of which they may go exist, the snapshots are tagged, deleted, and entered as deleted. A process that dies at
any step leaves an intent; the next turn takes all steps again, and repeats nothing that AWS has done.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from uuid import UUID

from django.db.models import Q, QuerySet

from n2wbackup.lib import clock, each
from policies.adapters import session
from policies.domain.errors import (
    AnswerLostError,
    BackupError,
    RefusedError,
    ThrottledError,
    UnreachableError,
)
from policies.models import Account, Policy, Removal, Run, RunSnapshot, RunTarget
from policies.services import existing
from policies.services.retention import deleting, removals
from policies.services.retention.deleting import Budget
from policies.services.servers import alone, strangers, turns
from policies.services.window import credentials

log = logging.getLogger(__name__)

EVERY = timedelta(hours=1)  # how often the rules of a policy are applied
POLICIES = 200  # of one turn
RUNS = 25  # of one policy and turn
SECONDS = 40.0  # of one turn: its lease is longer
LEASE_SECONDS = 180.0
RETRY, RETRY_REFUSED = timedelta(minutes=2), timedelta(hours=1)
_NOT_FOUND = "The newest restore points were not found in AWS"


def tick() -> int:
    """Apply the rules that are due, and go on with what has begun; return how many restore points are deleted."""
    if alone.why_kept():
        return 0
    each.apart(_to_look_at(), _look, "the rules of policy %s could not be applied")
    budget, done = Budget(time.monotonic() + SECONDS), list[int]()
    each.apart(
        _to_clean(),
        lambda key: done.append(_clean(key, budget) or 0),
        "the old restore points of policy %s stay",
    )
    return sum(done)


def prune(policy: Policy, *, by: str) -> int:
    """Delete what the rules of the policy let go now, without a notice; return how many are deleted.

    RefusedError: the server deletes nothing (servers/alone.py), or another process is at it.
    """
    alone.refuse()
    removals.announce(policy, by=by, at_once=True)
    done = 0
    while True:
        budget = Budget(time.monotonic() + SECONDS)
        before = Removal.objects.filter(run__policy=policy, ended_at=None).count()
        if not before:
            return done
        deleted = _clean(policy.pk, budget)
        if deleted is None:
            message = f"The restore points of {policy} are being deleted already: try again later."
            raise RefusedError(message)
        done += deleted
        if Removal.objects.filter(run__policy=policy, ended_at=None).count() == before:
            return done


def _to_look_at() -> list[Policy]:
    now = clock.now()
    due = Q(cleaned_at=None) | Q(cleaned_at__lte=now - EVERY) | Q(cleaned_at__gt=now + clock.SKEW)
    rules = Q(keep_generations__gt=0)
    for name in ("keep_last", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly"):
        rules |= Q(**{f"{name}__gt": 0})
    open_ones = Removal.objects.filter(begun_at=None, ended_at=None).values("run__policy")
    rows = Policy.objects.filter(due).filter(rules | Q(pk__in=open_ones))
    return list(rows.order_by("cleaned_at", "pk")[:POLICIES])


def _look(policy: Policy) -> None:
    removals.announce(policy)
    Policy.objects.filter(pk=policy.pk).update(cleaned_at=clock.now())


def _to_clean() -> list[int | None]:
    """Return the policies with a removal that is due, the longest waiting first; None: a deleted policy's."""
    now = clock.now()
    waited = Q(next_at=None) | Q(next_at__lte=now) | Q(next_at__gt=now + removals.LOOK_AGAIN)
    rows = Removal.objects.filter(waited, ended_at=None, goes_after__lte=now)
    found = rows.order_by("goes_after").values_list("run__policy", flat=True)
    return list(dict.fromkeys(found[: POLICIES * RUNS]))


def _clean(policy_id: int | None, budget: Budget) -> int | None:
    """Take one turn at a policy; None: another process has it. The lease keeps two from working on one intent."""
    name = f"clean-{policy_id or 0}"
    if budget.is_over or not turns.take(name, LEASE_SECONDS):
        return None
    try:
        if policy_id is None:
            return _clean_without_policy(budget)
        return _clean_policy(policy_id, budget)
    finally:
        turns.give_back(name)


def _clean_policy(policy_id: int, budget: Budget) -> int:
    """Begin and delete what is due. Nothing begins unless AWS has what stays in its place."""
    exist = removals.lasts(policy_id)
    doubt = existing.why_not_all(exist)
    if doubt:
        due = Removal.objects.filter(run__policy=policy_id)
        removals.fail(due, f"{_NOT_FOUND}: {doubt}", RETRY)
        return 0
    _ask(Removal.objects.filter(run__policy=policy_id))
    begun = removals.begin(policy_id, RUNS, exist)
    for key, why in begun.staying.items():
        _take_back(key, why)
    return _delete(begun.going, budget)


def _clean_without_policy(budget: Budget) -> int:
    """Take each deleted policy's for itself: one that waits for AWS keeps none of the others back."""
    rows = Removal.objects.filter(run__policy=None, ended_at=None).order_by("goes_after")
    rows = rows.filter(removals.is_due(clock.now()))
    nobody = rows.filter(begun_at__isnull=False, by="")
    for key in list(nobody.values_list("run", flat=True)[:RUNS]):
        _take_back(key, "its policy was deleted, so no rule lets it go")
    asked = rows.exclude(by="").values_list("run", "run__owner", "run__policy_name")
    groups: defaultdict[tuple[int | None, str], list[UUID]] = defaultdict(list)
    for key, owner, name in asked[:RUNS]:
        groups[owner, name].append(key)
    return sum(_clean_deleted(keys, budget) for keys in groups.values())


def _clean_deleted(asked: Sequence[UUID], budget: Budget) -> int:
    exist = removals.lasts_asked(asked)
    doubt = existing.why_not_all(exist)
    if doubt:
        removals.fail(removals.by_rules(asked), f"{_NOT_FOUND}: {doubt}", RETRY)
        exist = frozenset()
    _ask(Removal.objects.filter(run__in=asked))
    begun = removals.begin_asked(asked, exist)
    for key, why in begun.staying.items():
        _take_back(key, why)
    return _delete(begun.going, budget)


def _ask(rows: QuerySet[Removal]) -> None:
    """Let those that are due wait where AWS shows another server's snapshots: none of them begins."""
    due = rows.filter(removals.is_due(clock.now()), ended_at=None)
    standing = RunSnapshot.objects.filter(
        target__run__removal__in=due, state__in=(*removals.STANDING, RunSnapshot.State.DELETING)
    )
    places = standing.order_by().values_list("target__run__account", "target__region").distinct()
    for account_id, region in list(places):
        account = Account.objects.filter(pk=account_id).first()
        if account is None:
            continue
        try:
            removing = session.removing(credentials.of(account))
            strangers.refuse(account, region, removing)
        except BackupError as error:
            there = RunTarget.objects.filter(run__account=account, region=region)
            removals.fail(due.filter(run__in=there.values("run")), str(error), _wait(error))


def _take_back(key: UUID, why: str) -> None:
    run = Run.objects.select_related("account").filter(pk=key).first()
    if run is None:
        return
    try:
        removals.withdraw(run, deleting.states(run), why)
    except BackupError as error:
        removals.fail(Removal.objects.filter(run=run), str(error), RETRY)


def _delete(going: Iterable[Run], budget: Budget) -> int:
    return each.apart(
        going, lambda run: _delete_run(run, budget), "the snapshots of run %s could not be deleted"
    )


def _delete_run(run: Run, budget: Budget) -> bool:
    """Delete what is left of the run's snapshots; True if nothing is left."""
    removal = Removal.objects.filter(run=run)
    try:
        kept = deleting.delete(run, budget)
        if kept:
            removals.withdraw(run, deleting.states(run), kept, keep=True)
            return False
    except BackupError as error:
        log.warning("the snapshots of run %s stay for now: %s", run.pk, error)
        removals.fail(removal, str(error), _wait(error))
        return False
    removals.end(run)
    return removal.filter(ended_at__isnull=False).exists()


def _wait(error: BackupError) -> timedelta:
    passes = (ThrottledError, UnreachableError, AnswerLostError)
    return RETRY if isinstance(error, passes) else RETRY_REFUSED
