"""Restore points as rows: runs that ended well, one for each given age."""

from datetime import datetime, timedelta

from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.domain.runs.verdict import Consistency
from policies.models import Policy, Run, RunSnapshot, RunTarget
from tests.factories import RunFactory, RunSnapshotFactory, RunTargetFactory

INSTANCE = "i-0123456789abcdef0"
DAY = timedelta(days=1)


def point(
    policy: Policy,
    at: datetime,
    consistency: Consistency = Consistency.APPLICATION,
    instance: str = INSTANCE,
    **columns: object,
) -> Run:
    """Return a run that is a restore point, with one snapshot."""
    run = RunFactory.create(
        policy=policy,
        created_at=at,
        fired_at=at,
        ended_at=at,
        state=State.SUCCEEDED,
        consistency=consistency,
        restore_point=True,
        **columns,
    )
    target = RunTargetFactory.create(
        run=run,
        instance_id=instance,
        state=RunTarget.State.USABLE,
        consistency=consistency,
        fired_at=at,
    )
    RunSnapshotFactory.create(target=target, state=RunSnapshot.State.COMPLETED, progress=100)
    return run


def nightly(policy: Policy, number: int) -> list[Run]:
    """Return so many restore points, newest first; the newest is an hour old."""
    newest = clock.now() - timedelta(hours=1)
    return [point(policy, newest - night * DAY) for night in range(number)]
