"""What belongs to the end of a run: its policy's standing, protection, retries, alarms and counts. For many at once."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, OuterRef, QuerySet

from n2wbackup.lib import compiled, outages
from policies.domain.runs import sequence
from policies.models import DailyCount, Policy, Run, RunEvent
from policies.services import aside, protection
from policies.services.alarms import raising

_OF_A_POLICY = (*protection.OF_A_POLICY, "retry_count", "retry_minutes")


def close(ended: Sequence[Run], now: datetime) -> None:
    """Update what is rolled up, so that no page has to count a million runs; the runs' rows have their ends.

    Nothing of it prevents a run from ending: what fails is taken back and logged, and the rest is done.
    """
    counted = [run for run in ended if run.policy_id is not None and not run.is_test]
    if not counted:
        return
    try:
        with transaction.atomic():
            _close(counted, now)
    except outages.AWAY:
        raise
    except Exception:  # noqa: BLE001 - its rows are taken back, and the same error comes again below, where it is told
        for run in counted:
            _apart(run, now)


def _close(ended: Sequence[Run], now: datetime) -> None:
    there = _with_policies(ended)
    protection.note([one for one, _ in there], now)
    for (run, policy), _ in there:
        _ask_for_retry(run, policy, now)
    for (run, _), known in there:
        raising.ended(run, now, known)
    _count(ended, now)


def _with_policies(ended: Sequence[Run]) -> list[tuple[protection.Ended, raising.Known]]:
    """Return the runs whose policies still exist, with these, locked, and with what is known of their alarms."""
    locked = _locked([run.policy_id or 0 for run in ended])
    known = {
        policy.pk: (policy, raising.Known(policy.is_pinged, policy.was_in_trouble))
        for policy in locked
    }
    return [
        (protection.Ended(run, known[run.policy_id][0]), known[run.policy_id][1])
        for run in ended
        if run.policy_id in known
    ]


@compiled.Reading
def _locked(policies: list[int]) -> QuerySet[Any, Any]:
    rows = Policy.objects.filter(pk__in=policies).only(*_OF_A_POLICY)
    asked = rows.annotate(**raising.known(OuterRef("pk"))).order_by("pk")
    return asked.select_for_update(of=("self",))


def _apart(run: Run, now: datetime) -> None:
    """Do each thing by itself, so that one that fails keeps back none of the others."""

    def of_policy(act: Callable[[protection.Ended], object]) -> Callable[[], object]:
        return lambda: [act(one) for one, _ in _with_policies([run])]

    acts = {
        "the protection": of_policy(lambda one: protection.note([one], now)),
        "the retry": of_policy(lambda one: _ask_for_retry(*one, now)),
        "the alarm": lambda: raising.ended(run, now),
        "the count": lambda: _count([run], now),
    }
    for what, act in acts.items():
        aside.do(what, act, run)


def _count(ended: Sequence[Run], now: datetime) -> None:
    """Count the runs in their policies' days: those together that are alike and have a row already."""
    first = ended[0]
    rows = DailyCount.objects.filter(day=now.date(), state=first.state)
    if len(ended) > 1 and _are_alike(ended):
        its = rows.filter(policy__in=[run.policy_id for run in ended]).select_for_update()
        keys = dict(its.order_by("pk").values_list("policy", "pk"))
        rows.filter(pk__in=keys.values()).update(runs=F("runs") + first.due_count)
        ended = [run for run in ended if run.policy_id not in keys]
    for run in ended:
        _count_one(run, now)


def _are_alike(ended: Sequence[Run]) -> bool:
    return len({(run.state, run.due_count) for run in ended}) == 1


def _count_one(run: Run, now: datetime) -> None:
    same = DailyCount.objects.filter(policy=run.policy_id, day=now.date(), state=run.state)
    if same.update(runs=F("runs") + run.due_count):
        return
    _, made = DailyCount.objects.get_or_create(
        policy_id=run.policy_id or 0,
        day=now.date(),
        state=run.state,
        defaults={"runs": run.due_count},
    )
    if not made:  # another process was faster
        same.update(runs=F("runs") + run.due_count)


def _ask_for_retry(run: Run, policy: Policy, now: datetime) -> None:
    """Note when a failed run is to be retried; services/due/retrying.py starts the retry."""
    if run.state not in sequence.RETRIED or run.attempt > policy.retry_count:
        return
    run.retry_at = now + timedelta(minutes=policy.retry_minutes)
    Run.objects.filter(pk=run.pk).update(retry_at=run.retry_at)
    text = f"retry {run.attempt} of {policy.retry_count} is due {policy.retry_minutes} minutes from now"
    RunEvent.objects.create(run=run, at=now, state=run.state, text=text)
