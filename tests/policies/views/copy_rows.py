"""Rows of copies for the permission matrix."""

from n2wbackup.lib import clock
from policies.models import Copy, CopyRule, Policy, Run
from tests import factories


def made(policy: Policy, run: Run) -> CopyRule:
    """Copy the policy's snapshots to a region; a copy of the run has failed."""
    now = clock.now()
    rule = CopyRule.objects.create(
        policy=policy, region="eu-west-3", created_at=now, seen_until=now
    )
    target = factories.RunTargetFactory.create(run=run)
    source = factories.RunSnapshotFactory.create(target=target)
    Copy.objects.create(
        run=run,
        source=source,
        account=run.account,
        region="eu-west-3",
        state="failed",
        created_at=now,
    )
    return rule
