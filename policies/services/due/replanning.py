"""Every next due time, computed again: a time zone may have new rules, or be known again.

Ten thousand policies follow a few different rules. Each of these is reckoned once, and policies that move
from one moment to another move together, in commits so small that no other writer waits for long.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from n2wbackup.lib import clock, each
from policies.domain.schedules import reckoning
from policies.domain.schedules.schedule import Rule
from policies.models import Policy, Schedule
from policies.services.due import pauses, rules

log = logging.getLogger(__name__)

TOGETHER = 500
# All schedules that policies follow, and the moment after which a due time starts a run.
_Followed = tuple[frozenset[int], datetime]
_Planned = list[tuple[int, datetime | None]]  # policies, with their next due time


def replan() -> int:
    """Compute every next due time again; return how many have changed. Leaves what is due to the tick."""
    now = clock.now()
    plan = _Plan(now)
    trouble = "the policies with the schedules %s could not be planned"
    each.apart(_by_schedules(now).items(), lambda item: plan.add(*item[0], item[1]), trouble)
    return plan.enter()


def _by_schedules(now: datetime) -> Mapping[_Followed, _Planned]:
    """Return the enabled policies that follow a schedule and are not due, by all that each follows."""
    followed: dict[int, set[int]] = defaultdict(set)
    planned: dict[int, tuple[datetime | None, datetime]] = {}
    rows = Policy.objects.filter(enabled=True, schedules__isnull=False).order_by()
    columns = ("pk", "next_run_at", "paused_until", "schedules")
    for pk, next_at, paused_until, schedule in rows.values_list(*columns):
        if next_at is None or next_at > now:
            followed[pk].add(schedule)
            planned[pk] = next_at, pauses.counted_from(paused_until, now)
    found: dict[_Followed, _Planned] = defaultdict(list)
    for pk, schedules in followed.items():
        next_at, after = planned[pk]
        found[frozenset(schedules), after].append((pk, next_at))
    return found


class _Plan:
    """What is to be written: from which moment to which, and for which policies."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._schedules = Schedule.objects.in_bulk()
        self._following: dict[tuple[frozenset[Rule], datetime], datetime | None] = {}
        self._moves: dict[datetime | None, _Planned] = defaultdict(list)

    def add(self, schedules: frozenset[int], after: datetime, policies: _Planned) -> bool:
        """Reckon for the policies that follow these schedules, unless others had the same rules."""
        rows = [self._schedules[key] for key in sorted(schedules) if key in self._schedules]
        known, unknown = rules.known(rows)
        for sentence in unknown:
            log.error("policy %s and %s others: %s", policies[0][0], len(policies) - 1, sentence)
        same = frozenset(known.values()), after
        if same not in self._following:
            self._following[same] = reckoning.following(known, after)
        next_at = self._following[same]
        for pk, before in policies:
            if before != next_at:
                self._moves[next_at].append((pk, before))
        return True

    def enter(self) -> int:
        """Write what has changed, unless another process has changed it since; return how many."""
        return sum(
            self._move(dict(policies[start : start + TOGETHER]), next_at)
            for next_at, policies in self._moves.items()
            for start in range(0, len(policies), TOGETHER)
        )

    @transaction.atomic
    def _move(self, seen: Mapping[int, datetime | None], next_at: datetime | None) -> int:
        # What another process changes at this moment is left to it.
        rows = Policy.objects.select_for_update(of=("self",), skip_locked=True)
        found = rows.filter(pk__in=list(seen), enabled=True).values_list("pk", "next_run_at")
        same = [pk for pk, before in found if before == seen[pk]]
        return Policy.objects.filter(pk__in=same).update(next_run_at=next_at, planned_at=self._now)
