"""How old a policy's newest restore point may be: reckoned when its schedules change, not when it is shown."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache

from django.db import transaction

from n2wbackup.lib import clock, each
from policies.domain import protection
from policies.domain.schedules import schedule
from policies.domain.schedules.schedule import Rule
from policies.models import Policy
from policies.services import protection as kept
from policies.services.due import rules

# The longest gap is looked for in more than a week, as disabled times repeat each week, and in so many times at least.
_SPAN, _TIMES = timedelta(days=9), 13
_MOST = 3_000
AT_ONCE, TURNS = 50, 10


def reckon(keys: Iterable[int]) -> None:
    """Write the objective of these policies, and what follows from it; the caller has opened a transaction."""
    keys = list(keys)
    for policy in Policy.objects.filter(pk__in=keys).prefetch_related("schedules"):
        _write(policy)
    kept.renew(keys)


def tick() -> int:
    """Reckon the policies that nobody has reckoned yet, as after an upgrade; return how many."""
    done = 0
    for _ in range(TURNS):
        rows = Policy.objects.filter(reckoned_at=None).order_by("pk")
        keys = list(rows.values_list("pk", flat=True)[:AT_ONCE])
        if not keys:
            break
        done += each.apart(keys, _reckon_one, "the protection of policy %s could not be reckoned")
    return done


def _reckon_one(key: int) -> bool:
    # First, and apart: a policy that fails is not tried in each turn.
    Policy.objects.filter(pk=key).update(reckoned_at=clock.now())
    with transaction.atomic():
        reckon([key])
    return True


def _write(policy: Policy) -> None:
    known, _ = rules.known(policy.schedules.all())
    allowed = protection.objective(policy.rpo_hours, _longest_gap(frozenset(known.values())))
    if allowed is None and known and policy.objective_seconds:
        return  # only one due time is left: what was allowed until then stays
    seconds = None if allowed is None else int(allowed.total_seconds())
    Policy.objects.filter(pk=policy.pk).update(objective_seconds=seconds)


def _longest_gap(known: frozenset[Rule]) -> timedelta | None:
    # Once a day: a zone's rules and the hours of summer time move a gap by little.
    return _reckoned(known, clock.now().replace(hour=0, minute=0, second=0, microsecond=0))


@lru_cache(maxsize=2_000)
def _reckoned(known: frozenset[Rule], day: datetime) -> timedelta | None:
    times: list[datetime] = []
    ahead = schedule.due({str(n): rule for n, rule in enumerate(known)}, day)
    for count, due in enumerate(ahead):
        if due.names:
            times.append(due.at)
        enough = len(times) >= _TIMES and times[-1] - times[0] >= _SPAN
        if enough or count >= _MOST:
            break
    return protection.longest_gap(times)
