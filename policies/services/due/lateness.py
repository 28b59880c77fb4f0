"""Runs that are due and do not begin: told to their owners, once for as long as it lasts.

What was due while no server ran is entered when one is back, and counts from then: nothing could begin it before.

Two hundred policies that are late together have one cause, so each owner gets one message and not two hundred. What
waits for an instance, a volume or AWS has an alarm of its own, and what a person has muted is not counted.
"""

from collections import defaultdict
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Run, Turn
from policies.services.alarms import raising
from policies.services.servers import turns

LOOK_SECONDS = 10
# Late again within this time is the same trouble.
SPELL = timedelta(minutes=15)


def tick() -> int:
    """Tell the owners of runs that are later than they may be; return how many were told."""
    if not turns.take("late", LOOK_SECONDS - 1):
        return 0
    now = clock.now()
    by_owner: dict[int, list[Run]] = defaultdict(list)
    for run in _late(now):
        if run.owner_id is not None:
            by_owner[run.owner_id].append(run)
    return sum(_tell(owner, late, now) for owner, late in by_owner.items())


def _late(now: datetime) -> list[Run]:
    """Return the runs that nothing but the server itself keeps from beginning, the longest due first."""
    limit = now - timedelta(minutes=settings.N2W_LATE_MINUTES)
    rows = Run.objects.unfinished(State.QUEUED, State.PREPARING).filter(
        trigger=Trigger.SCHEDULE,
        attempt=1,
        scheduled_for__lte=limit,
        created_at__lte=limit,
        waiting_since=None,
    )
    is_muted = Q(policy__mute__until__gt=now)
    columns = ("pk", "owner", "owner_name", "policy_name", "scheduled_for")
    # Sorted here: the database would go through the whole history, to sort these few.
    return sorted(rows.exclude(is_muted).only(*columns), key=lambda run: run.scheduled_for or now)


@transaction.atomic
def _tell(owner: int, late: list[Run], now: datetime) -> bool:
    name = f"late {owner}"
    row = Turn.objects.filter(pk=name)
    last = row.values_list("taken_at", flat=True).first()
    Turn.objects.update_or_create(pk=name, defaults={"taken_at": now})
    if last is not None and now - SPELL < last <= now + clock.SKEW:
        return False
    raising.late(late[0], len(late), now)
    return True
