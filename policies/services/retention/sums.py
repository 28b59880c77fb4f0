"""Days that are over are summed once, so that a calendar of all policies reads some hundred rows.

A sum that each end of a run would raise is one row that all runs wait for, with locks in any order.
"""

from collections import Counter
from datetime import date, timedelta

from django.db import transaction
from django.db.models import Sum

from n2wbackup.lib import clock
from policies.models import DailyCount, DailySum

AT_ONCE = 100  # days of one turn; a server that was upgraded has a year of them


def tick() -> int:
    """Sum the days that are over and have no sums; return how many. Parallel calls do no harm."""
    today = clock.now().date()
    # They were written while the clock was ahead, and are not over.
    DailySum.objects.filter(day__gte=today).delete()
    last = summed_until()
    for number in range(AT_ONCE):
        day = _next(last, today)
        if day is None:
            return number
        _sum(day)
        last = day
    return AT_ONCE


def summed_until() -> date | None:
    """Return the last day that has sums; days after it have their counts only."""
    return DailySum.objects.order_by("-day").values_list("day", flat=True).first()


def _next(last: date | None, today: date) -> date | None:
    days = DailyCount.objects.filter(day__lt=today)
    if last is not None:
        days = days.filter(day__gte=last + timedelta(days=1))
    return days.order_by("day").values_list("day", flat=True).first()


@transaction.atomic
def _sum(day: date) -> None:
    counts = DailyCount.objects.filter(day=day).order_by().values_list("policy__owner", "state")
    of_all, rows = Counter[str](), list[DailySum]()
    for owner, state, runs in counts.annotate(Sum("runs")):
        rows.append(DailySum(owner_id=owner, day=day, state=state, runs=runs))
        of_all[state] += runs
    rows += [DailySum(day=day, state=state, runs=runs) for state, runs in of_all.items()]
    DailySum.objects.bulk_create(rows, ignore_conflicts=True)
