"""What a rule lets go of its copies is announced, for as long as restore points are."""

from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from django.db.models import Q, QuerySet

from n2wbackup.lib import clock
from n2wbackup.lib.portions import portions
from policies.domain.copies.states import CopyState
from policies.domain.retention.points import Verdict
from policies.models import Copy, CopyRule
from policies.services.retention import removals

_ROWS = 500


def announce(rule: CopyRule, verdicts: Iterable[Verdict]) -> None:
    """Announce the copies that go by these verdicts, and withdraw what stays by now.

    What was announced before keeps its time, unless a clock that was ahead had announced it.
    """
    now = clock.now()
    after = now + removals.notice()
    reasons: defaultdict[str, list[UUID]] = defaultdict(list)
    for verdict in verdicts:
        if not verdict.keep:
            reasons["; ".join(verdict.reasons)].append(UUID(verdict.point.key))
    there = Copy.objects.filter(rule=rule, state=CopyState.COMPLETED)
    announced = there.exclude(goes_after=None)
    gone = {key for keys in reasons.values() for key in keys}
    stay = set(announced.order_by().values_list("run", flat=True)) - gone
    for some in portions(sorted(stay), _ROWS):
        announced.filter(run__in=some).update(goes_after=None, goes_why="")
    announced.filter(goes_after__gt=after + clock.SKEW).update(goes_after=after)
    for why, keys in reasons.items():
        for some in portions(keys, _ROWS):
            there.filter(run__in=some, goes_after=None).update(goes_after=after, goes_why=why)


def forget(rules: QuerySet[CopyRule]) -> None:
    """Withdraw everything of rules that keep all copies by now."""
    rows = Copy.objects.filter(rule__in=rules, goes_after__isnull=False)
    rows.update(goes_after=None, goes_why="")


def not_due(rule: CopyRule) -> set[UUID]:
    """Return the restore points with a copy by the rule that was not announced, or not for long enough."""
    early = Q(goes_after=None) | Q(goes_after__gt=clock.now())
    rows = Copy.objects.filter(early, rule=rule, state=CopyState.COMPLETED)
    return set(rows.order_by().values_list("run", flat=True))
