"""What ended on each day: of some policies, and of all that a person may see. For a calendar of 53 weeks."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import date, timedelta
from typing import Final

from django.db.models import Sum

from n2wbackup.lib import clock
from n2wbackup.lib.charts import WEEKS, Day
from policies.domain.runs.sequence import State
from policies.models import DailyCount, DailySum
from scripts_admin import permissions
from scripts_admin.models import User

Days = Mapping[date, Mapping[str, int]]  # by day (UTC): how many runs ended in each state

_KINDS: Final[Mapping[str, str]] = {
    State.SUCCEEDED: "good",
    State.PARTIAL: "warn",
    State.MISSED: "warn",
    State.FAILED: "bad",
    State.SKIPPED: "other",
    State.CANCELLED: "other",
}
# A day with a success and a skipped run is a good day; with a failure it is a bad one.
_WORST = ("bad", "warn", "good", "other")


def of_policies(keys: Collection[int], *, weeks: int = WEEKS) -> Mapping[int, Days]:
    """Return, for each of the policies, the days on which something ended, in order."""
    rows = DailyCount.objects.filter(policy__in=keys, day__gt=_first(weeks)).order_by("day")
    found: dict[int, list[tuple[date, str, int]]] = defaultdict(list)
    for key, day, state, runs in rows.values_list("policy", "day", "state", "runs"):
        found[key].append((day, state, runs))
    return {key: _days(found[key]) for key in keys}


def of_visible(person: User, *, weeks: int = WEEKS) -> Days:
    """Return the days of all policies that the person may see, in order.

    Days that are over are read from their sums, which count policies that were deleted since, too.
    """
    first = _first(weeks)
    sums = permissions.visible(DailySum.objects.filter(day__gt=first), person)
    if permissions.sees_everything(person):
        sums = sums.filter(owner=None)
    last = DailySum.objects.order_by("-day").values_list("day", flat=True).first()
    counts = permissions.visible(
        DailyCount.objects.filter(day__gt=max(first, last or first)), person
    )
    # The sums are of owners: what others share is counted policy by policy.
    shared = permissions.only_shared(
        DailyCount.objects.filter(day__gt=first, day__lte=max(first, last or first)), person
    )
    both = (rows.order_by("day").values_list("day", "state") for rows in (counts, shared))
    young = [row for rows in both for row in rows.annotate(Sum("runs"))]
    return _days([*sums.order_by("day").values_list("day", "state", "runs"), *young])


def drawn(days: Days) -> Mapping[date, Day]:
    """Return the days as a calendar shows them: the worst that ended on each, and all of it in words."""
    return {day: _day(day, states) for day, states in days.items()}


def _first(weeks: int) -> date:
    return clock.now().date() - timedelta(weeks=weeks)


def _days(rows: Iterable[tuple[date, str, int]]) -> Days:
    found: dict[date, Counter[str]] = {}
    for day, state, runs in rows:
        found.setdefault(day, Counter())[state] += runs
    return found


def _day(day: date, states: Mapping[str, int]) -> Day:
    kinds = {_KINDS.get(state, "other") for state in states}
    order = sorted(states, key=lambda state: _WORST.index(_KINDS.get(state, "other")))
    words = ", ".join(f"{states[state]} {state}" for state in order)
    return Day(day, next(kind for kind in _WORST if kind in kinds), words)
