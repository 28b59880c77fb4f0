"""After a run ended with usable snapshots: the copies that the rules of its policy want."""

from datetime import datetime

from django.db.models import F

from n2wbackup.lib import clock, each
from policies.domain.errors import RefusedError
from policies.models import CopyRule, Run, RunSnapshot, RunTarget
from policies.services.copies import rows

RUNS_AT_ONCE = 50


def tick() -> int:
    """Plan the copies of runs that ended since each rule was looked at; return how many runs had some."""
    behind = (
        CopyRule.objects.filter(
            policy__runs__restore_point=True, policy__runs__ended_at__gt=F("seen_until")
        )
        .select_related("policy", "account")
        .distinct()
    )
    return each.apart(list(behind), _follow, "the copies by rule %s could not be planned")


def _follow(rule: CopyRule) -> bool:
    runs = (
        Run.objects.filter(policy=rule.policy, restore_point=True, ended_at__gt=rule.seen_until)
        .select_related("account")
        .defer("account__secret_access_key")
        .order_by("ended_at")
    )
    for run in runs[:RUNS_AT_ONCE]:
        _plan(run, rule)
        _seen(rule, run.ended_at or clock.now())
    return True


def _plan(run: Run, rule: CopyRule) -> None:
    try:
        rows.plan(run, rule, wanted(run, rule))
    except RefusedError:
        return  # it is being deleted: there is nothing to copy any more


def wanted(run: Run, rule: CopyRule) -> list[RunSnapshot]:
    """Return what is usable and has no copy by this rule: a turn may have died after some of them."""
    found = (
        RunSnapshot.objects.filter(
            target__run=run,
            target__state=RunTarget.State.USABLE,
            state=RunSnapshot.State.COMPLETED,
        )
        .exclude(copies__rule=rule)
        .select_related("target")
    )
    return [one for one in found if not _is_there(one, run, rule)]


def _is_there(source: RunSnapshot, run: Run, rule: CopyRule) -> bool:
    """Tell whether the rule's place is where the snapshot is anyway."""
    own = rule.account_id in {None, run.account_id}
    return own and source.target.region == rule.region


def _seen(rule: CopyRule, until: datetime) -> None:
    CopyRule.objects.filter(pk=rule.pk, seen_until__lt=until).update(seen_until=until)
