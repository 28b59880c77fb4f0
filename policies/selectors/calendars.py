"""What ended on each day: of one policy, and of all policies that a person may see. For a calendar of 53 weeks."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, timedelta

from django.db.models import Sum

from n2wbackup.lib import clock
from policies.models import DailyCount, DailySum, Policy
from scripts_admin import permissions
from scripts_admin.models import User

WEEKS = 53
Days = Mapping[date, Mapping[str, int]]  # by day (UTC): how many runs ended in each state


def of_policy(policy: Policy, *, weeks: int = WEEKS) -> Days:
    """Return the policy's days on which something ended, in order; the day itself is in it."""
    rows = DailyCount.objects.filter(policy=policy, day__gt=_first(weeks))
    return _days(rows.order_by("day").values_list("day", "state", "runs"))


def of_visible(person: User, *, weeks: int = WEEKS) -> Days:
    """Return the days of all policies that the person may see, as `of_policy`.

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
    young = counts.order_by("day").values_list("day", "state").annotate(Sum("runs"))
    return _days([*sums.order_by("day").values_list("day", "state", "runs"), *young])


def _first(weeks: int) -> date:
    return clock.now().date() - timedelta(weeks=weeks)


def _days(rows: Iterable[tuple[date, str, int]]) -> Days:
    found: dict[date, Counter[str]] = {}
    for day, state, runs in rows:
        found.setdefault(day, Counter())[state] += runs
    return found
