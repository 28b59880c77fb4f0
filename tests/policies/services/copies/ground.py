"""A policy of Alice's with a restore point, two AWS accounts in memory, and turns of the server."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
import time_machine
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.adapters import session
from policies.adapters.memory import MemoryCloud
from policies.adapters.memory_copies import MemoryCopies, World
from policies.adapters.memory_removing import MemoryRemoving
from policies.domain.runs.verdict import Consistency
from policies.models import Account, Copy, CopyRule, Policy, Run, RunSnapshot, RunTarget
from policies.ports import Credentials, FireRequest
from policies.ports.copies import Copies
from policies.services.copies import keeping, ticking
from policies.services.entry import copy_rules
from tests.factories import AccountFactory, PolicyFactory, alice
from tests.policies.services.retention.rows import point

HERE, THERE = "us-east-1", "eu-central-1"
OTHER = "210987654321"
START = datetime.fromisoformat("2026-03-02T04:00:00+00:00")


@dataclass
class Copying:
    """`own` is the account of the policy, `other` Alice's second one."""

    policy: Policy
    second: Account
    world: World = field(default_factory=World)

    def __post_init__(self) -> None:
        self.cloud, self.far = MemoryCloud(), MemoryCloud(OTHER)
        self.own, self.other = self.world.add(self.cloud), self.world.add(self.far)
        self.deleting, self.deleting_far = MemoryRemoving(self.cloud), MemoryRemoving(self.far)

    def reach(self, known: Credentials) -> MemoryCopies:
        return self.other if known.access_key_id == self.second.access_key_id else self.own

    def rule(self, **columns: object) -> CopyRule:
        """Make this the only rule of the policy."""
        return self.rules({"region": THERE, **columns})[0]

    def rules(self, *wanted: dict[str, object]) -> list[CopyRule]:
        copy_rules.replace(self.policy, [CopyRule(**columns) for columns in wanted])
        return list(self.policy.copy_rules.order_by("pk"))

    def backed_up(
        self, at: datetime | None = None, consistency: Consistency = Consistency.APPLICATION
    ) -> Run:
        """Make a restore point whose snapshot is in AWS."""
        volume = self.cloud.add_volume(HERE).volume_id
        (made,) = self.cloud.fire(FireRequest(HERE, {}, "x", volume_id=volume), 10)
        self.cloud.advance()
        run = point(self.policy, at or clock.now(), consistency)
        RunSnapshot.objects.filter(target__run=run).update(
            snapshot_id=made.snapshot_id, volume_id=volume
        )
        RunTarget.objects.filter(run=run).update(expected_volume_ids=[volume])
        return run

    def turn(self, number: int = 0) -> None:
        ticking.tick(number)

    def clean(self) -> None:
        keeping.tick()

    def settle(self, *, fails: bool = False) -> None:
        """Let AWS end every copy."""
        for cloud in (self.cloud, self.far):
            cloud.advance("error" if fails else "completed")

    def copied(self, run: Run) -> None:
        """Take the run's copies to their end."""
        self.turn()
        self.settle()
        self.turn()
        assert {copy.state for copy in run.copies.all()} == {"completed"}

    def in_aws(self, region: str = THERE) -> list[str]:
        """Return the copies that there are, of both accounts."""
        return [
            one.snapshot_id
            for cloud in (self.cloud, self.far)
            for one in cloud.in_region(region)
            if "n2wbackup:copy" in one.tags
        ]


def state(run: Run) -> list[str]:
    return [copy.state for copy in Copy.objects.filter(run=run).order_by("pk")]


def later(minutes: float) -> time_machine.travel:
    return time_machine.travel(clock.now() + timedelta(minutes=minutes), tick=False)


@pytest.fixture
def copying(db: None, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Copying:
    """Give the policy; what goes is announced and goes in the same turn."""
    settings.N2W_DELETE_AFTER_HOURS = 0
    policy = PolicyFactory.create(owner=alice(), name="policy1")
    second = AccountFactory.create(
        owner=policy.owner, name="vault", access_key_id="AKIASECONDACCOUNT001"
    )
    made = Copying(policy, second)

    def copies(known: Credentials) -> Copies:
        return made.reach(known)

    monkeypatch.setattr(session, "copies", copies)
    monkeypatch.setattr(session, "cloud", lambda known: made.reach(known).cloud)
    monkeypatch.setattr(
        session,
        "removing",
        lambda known: made.deleting if made.reach(known) is made.own else made.deleting_far,
    )
    return made


@pytest.fixture
def away(copying: Copying) -> CopyRule:
    """Copy to the second account, in another region."""
    return copying.rule(account=copying.second)
