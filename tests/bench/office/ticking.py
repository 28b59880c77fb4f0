"""Orders on the scheduler's tick."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Policy, Run, Schedule
from policies.tasks import tick as ticks_task


def tick(policy: str, policies: int, turns: int) -> dict[str, Any]:
    """Measure the tick with this many policies. None is due; each has a schedule and has run once."""
    _enter(Policy.objects.get(name=policy), policies)
    ticks_task()  # the first one opens the database
    return {"seconds": measured(ticks_task, turns)}


def measured(act: Callable[[], object], turns: int) -> list[float]:
    found = []
    for _ in range(turns):
        began = time.perf_counter()
        act()
        found.append(time.perf_counter() - began)
    return found


def _enter(model: Policy, count: int) -> None:
    now = clock.now()
    schedule = Schedule.objects.create(owner=model.owner, name="nightly", cron="0 2 * * *")
    made = Policy.objects.bulk_create(
        Policy(
            owner=model.owner,
            folder=model.folder,
            account=model.account,
            name=f"{model.name}-{number}",
            next_run_at=now + timedelta(hours=1, seconds=number),
        )
        for number in range(count)
    )
    schedule.policies.set(made)
    Run.objects.bulk_create(
        Run(
            policy=policy,
            owner=policy.owner,
            account=policy.account,
            policy_name=policy.name,
            owner_name=policy.owner.username,
            trigger=Trigger.SCHEDULE,
            state=State.SUCCEEDED,
            created_at=now - timedelta(days=1),
            ended_at=now - timedelta(days=1),
        )
        for policy in made
    )
