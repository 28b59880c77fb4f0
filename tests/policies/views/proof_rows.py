"""Rows of proofs for the permission matrix."""

from n2wbackup.lib import clock
from policies.models import Proof, Run, RunSnapshot
from tests import factories


def made(run: Run) -> Proof:
    """Prove the run once, and give it a snapshot that can be proven again."""
    now = clock.now()
    target = factories.RunTargetFactory.create(run=run)
    factories.RunSnapshotFactory.create(target=target, state=RunSnapshot.State.COMPLETED)
    return Proof.objects.create(
        run=run,
        policy=run.policy,
        owner=run.owner,
        region="us-east-1",
        level=0,
        state="failed",
        asked_at=now,
        next_at=now,
        ended_at=now,
        reason="r",
    )
