"""Restore points as rows: runs that ended well, one for each given age."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from n2wbackup.lib import clock, home
from policies.adapters.limits import RUN_TAG, SERVER_TAG
from policies.adapters.memory import MemoryCloud
from policies.domain.proofs import Level
from policies.domain.proofs import State as ProofState
from policies.domain.runs.sequence import State
from policies.domain.runs.verdict import Consistency
from policies.models import Policy, Proof, Run, RunSnapshot, RunTarget
from policies.ports import Snapshot
from policies.services.proof import working
from policies.services.proof.levels import Outcome
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


def proven(run: Run, state: ProofState, level: Level) -> Proof:
    """Return a proof of the run that ended like this, by the clock as it is; a worker enters it."""
    now = clock.now()
    proof = Proof.objects.create(
        run=run,
        policy=run.policy,
        region="us-east-1",
        level=level,
        state=ProofState.WORKING,
        asked_at=now,
        next_at=now,
    )
    reached = level if state == ProofState.PASSED else -1
    working.enter(proof, Outcome(state, "", reached))
    proof.refresh_from_db()
    return proof


def nightly(policy: Policy, number: int) -> list[Run]:
    """Return so many restore points, newest first; the newest is an hour old."""
    newest = clock.now() - timedelta(hours=1)
    return [point(policy, newest - night * DAY) for night in range(number)]


def in_cloud(cloud: MemoryCloud, runs: Iterable[Run], server: str = "") -> None:
    """Have the snapshots of the runs in AWS, with the tags of this server and their run."""
    for run in runs:
        tags = {SERVER_TAG: server or home.server_id(), RUN_TAG: str(run.pk)}
        for row in RunSnapshot.objects.filter(target__run=run).select_related("target"):
            made = Snapshot(row.snapshot_id, row.volume_id, "completed", 100, tags=tags)
            cloud.keep(row.target.region, made)


def snapshot_of(run: Run) -> RunSnapshot:
    """Return the run's only snapshot, as it is now."""
    return RunSnapshot.objects.get(target__run=run)
