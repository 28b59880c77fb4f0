"""Orders on following snapshots: an hour of polls, on a clock that the bench sets."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Policy, Run, RunSnapshot, RunTarget
from policies.ports import Snapshot
from policies.services.following import polling
from policies.tasks import POLL_SECONDS
from tests.bench.request import REGION

HOUR_SECONDS = 3600
MOST_IN_A_CALL = 200


class PendingCloud:
    """An AWS whose snapshots stay pending. `asked` has the number of ids of each call."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def describe(self, _region: str, snapshot_ids: Sequence[str]) -> dict[str, Snapshot]:
        self.asked.append(len(snapshot_ids))
        return {one: Snapshot(one, "vol-0", "pending") for one in snapshot_ids}


def follow(policy: str, runs: int, each: int) -> dict[str, Any]:
    """Follow the snapshots of this many runs for an hour.

    Returns the number of snapshots and the number of calls of each poll that made calls.
    """
    began = clock.now()
    _wait_for(Policy.objects.get(name=policy), runs, each)
    cloud, polls = PendingCloud(), list[tuple[int, int]]()
    with patch("policies.adapters.session.cloud", return_value=cloud):
        for number in range(HOUR_SECONDS // POLL_SECONDS):
            cloud.asked.clear()
            now = began + timedelta(seconds=POLL_SECONDS * (number + 1))
            with patch("n2wbackup.lib.clock.now", return_value=now):
                polling.poll(number)
            if cloud.asked:
                if max(cloud.asked) > MOST_IN_A_CALL:
                    raise RuntimeError("One call asked for more snapshots than AWS takes.")
                polls.append((sum(cloud.asked), len(cloud.asked)))
    return {"rounds": HOUR_SECONDS // POLL_SECONDS, "polls": polls}


def _wait_for(policy: Policy, runs: int, each: int) -> None:
    now = clock.now()
    waiting = Run.objects.bulk_create(
        Run(
            # Without a policy, as if it were deleted: a policy can have only one unfinished run.
            owner=policy.owner,
            account=policy.account,
            policy_name=policy.name,
            owner_name=policy.owner.username,
            trigger=Trigger.MANUAL,
            state=State.WAITING,
            created_at=now,
        )
        for _ in range(runs)
    )
    targets = RunTarget.objects.bulk_create(
        RunTarget(run=run, instance_id="i-0", region=REGION, state=RunTarget.State.FIRED)
        for run in waiting
    )
    RunSnapshot.objects.bulk_create(
        RunSnapshot(
            target=target, snapshot_id=f"snap-{at}-{n}", volume_id=f"vol-{n}", created_at=now
        )
        for at, target in enumerate(targets)
        for n in range(each)
    )
