"""Many runs queued at once, for due times that nothing stands in the way of: a few statements for all of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import transaction

from n2wbackup.lib import clock
from policies.adapters import broker
from policies.domain.runs.trigger import Trigger
from policies.models import Policy, Run, RunEvent
from policies.services import runs

__all__ = ["Wanted", "queue", "standing_in_the_way"]


class Wanted(NamedTuple):
    """A due time of a policy that is to become a run."""

    policy: Policy
    at: datetime


def standing_in_the_way(wanted: Sequence[Wanted]) -> set[int]:
    """Return the policies among them that have an unfinished run, or a row for that very due time."""
    keys = [one.policy.pk for one in wanted]
    found = set(
        Run.objects.unfinished().filter(policy__in=keys).values_list("policy_id", flat=True)
    )
    same = Run.objects.filter(
        policy__in=keys, scheduled_for__in={one.at for one in wanted}, attempt=1
    ).order_by()
    times = {(one.policy.pk, one.at) for one in wanted}
    found.update(
        key for key, at in same.values_list("policy_id", "scheduled_for") if (key, at) in times
    )
    return found


def queue(wanted: Sequence[Wanted]) -> None:
    """Queue a run for each, and send their hints together on commit; the caller has opened a transaction.

    IntegrityError if a policy among them has an unfinished run after all: then none is queued.
    """
    now = clock.now()
    made = [
        runs.new(
            policy,
            trigger=Trigger.SCHEDULE,
            scheduled_for=at,
            created_at=now,
            dispatched_at=now,
        )
        for policy, at in wanted
    ]
    with transaction.atomic():
        Run.objects.bulk_create(made)
        text = f"queued ({Trigger.SCHEDULE})"
        RunEvent.objects.bulk_create(
            RunEvent(run=run, at=now, state=run.state, text=text) for run in made
        )
        broker.on_commit_all(broker.FREEZE, [run.pk for run in made])
