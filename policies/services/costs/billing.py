"""What the restore points and copies of policies cost, and what they would cost by other rules: estimates."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery, Sum

from n2wbackup.lib import clock
from policies.adapters import price_table
from policies.domain.copies.states import CopyState
from policies.domain.costs import bill
from policies.domain.costs.bill import Bill, Sized
from policies.domain.costs.prices import Prices
from policies.models import Copy, Policy, PolicyCost, RunSnapshot
from policies.services.retention import planning

TREND_DAYS = 90
NEWEST = timedelta(days=7)  # an estimate that is older counts no more
NUMBERS: tuple[str, ...] = (
    "keep_last",
    "keep_daily",
    "keep_weekly",
    "keep_monthly",
    "keep_yearly",
    "keep_generations",
)


class Costs(NamedTuple):
    """A month of a policy's restore points, and of their copies elsewhere."""

    points: Bill
    copies: Bill

    @property
    def total(self) -> Bill:
        return self.points.plus(self.copies)


class WhatIf(NamedTuple):
    """What other rules would cost, beside what is there now."""

    now: Costs
    then: Bill
    kept: int
    gone: int

    @property
    def saved(self) -> float:
        return self.now.points.month - self.then.month


class Together(NamedTuple):
    """The newest estimates of several policies: how many have one, a month of all, and of disabled ones."""

    known: int
    month: float
    idle: float


def prices() -> Prices:
    """Return the price table in force."""
    return price_table.load()


def of_policy(policy: Policy, table: Prices | None = None) -> Costs:
    """Return the estimate of everything that is kept now, whatever the rules say."""
    table = table or prices()
    return Costs(bill.of(_sized(policy), table), bill.of(_copied(policy), table))


def what_if(policy: Policy, numbers: Mapping[str, int]) -> WhatIf:
    """Return what the policy's restore points would cost by these rules. Nothing is saved."""
    table, sized = prices(), _sized(policy)
    other = Policy.objects.select_related("owner").get(pk=policy.pk)
    for column in NUMBERS:
        setattr(other, column, numbers.get(column, 0))
    verdicts = planning.as_if(other)
    kept = {verdict.point.key for verdict in verdicts if verdict.keep}
    now = Costs(bill.of(sized, table), bill.of(_copied(policy), table))
    return WhatIf(now, bill.of(sized, table, kept), len(kept), len(verdicts) - len(kept))


def trend(policy: Policy, days: int = TREND_DAYS) -> Mapping[date, float]:
    """Return the estimates of the last days, oldest first."""
    since = clock.now().date() - timedelta(days=days)
    rows = PolicyCost.objects.filter(policy=policy, day__gte=since).order_by("day")
    return dict(rows.values_list("day", "month"))


def newest(policies: Collection[int]) -> Mapping[int, PolicyCost]:
    """Return the newest estimate of each of the policies."""
    since = clock.now().date() - NEWEST
    rows = PolicyCost.objects.filter(policy__in=policies, day__gte=since).order_by("day")
    return {row.policy_id: row for row in rows}


def by_cost(policies: QuerySet[Policy]) -> QuerySet[Policy]:
    """Return the policies with their newest estimate as `month`, the dearest first, those without one last."""
    since = clock.now().date() - NEWEST
    known = PolicyCost.objects.filter(policy=OuterRef("pk"), day__gte=since).order_by("-day")
    rows = policies.annotate(month=Subquery(known.values("month")[:1]))
    return rows.order_by(F("month").desc(nulls_last=True), "owner__username", "name")


def together(policies: QuerySet[Policy]) -> Together:
    """Return the sums over all of the policies: they are made by the database."""
    rows = by_cost(policies).order_by()
    found = rows.aggregate(
        known=Count("month"), all=Sum("month"), idle=Sum("month", filter=Q(enabled=False))
    )
    return Together(found["known"], found["all"] or 0.0, found["idle"] or 0.0)


def _sized(policy: Policy) -> list[Sized]:
    columns = ("target__run", "volume_id", "target__region", "created_at")
    rows = RunSnapshot.objects.filter(
        target__run__policy=policy,
        target__run__restore_point=True,
        state=RunSnapshot.State.COMPLETED,
    ).order_by()
    return _made(rows.values_list(*columns, "size__blocks", "size__changed"))


def _copied(policy: Policy) -> list[Sized]:
    """Return the copies, each as large as its source: AWS counts their increments in their own place."""
    columns = ("run", "source__volume_id", "region", "source__created_at")
    rows = Copy.objects.filter(
        run__policy=policy, state__in=[CopyState.COMPLETED, CopyState.DELETING]
    ).order_by()
    sizes = ("source__size__blocks", "source__size__changed", "account")
    found = list(rows.values_list(*columns, *sizes))
    return [
        one._replace(volume=f"{one.volume} in {account}")
        for one, account in zip(
            _made(row[:-1] for row in found), (row[-1] for row in found), strict=True
        )
    ]


def _made(rows: Iterable[Sequence[object]]) -> list[Sized]:
    return [
        Sized(
            str(run),
            str(volume),
            str(region),
            at,  # type: ignore[arg-type] # the column's own type
            bill.UNKNOWN if blocks is None else int(blocks),  # type: ignore[call-overload]
            bill.UNKNOWN if changed is None else int(changed),  # type: ignore[call-overload]
        )
        for run, volume, region, at, blocks, changed in rows
    ]
