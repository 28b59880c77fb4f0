"""A restore point whose snapshots are copied: to another region, and to Alice's second AWS account."""

from dataclasses import dataclass, field

import pytest

from n2wbackup.lib import clock
from policies.adapters import session
from policies.adapters.memory_copies import MemoryCopies, World
from policies.adapters.memory_making import MemoryMaker
from policies.models import Account, Copy, CopyRule, Run, RunSnapshot
from policies.ports import Credentials
from policies.ports.copies import CopyRequest
from policies.services.copies import asking as copying
from tests import factories
from tests.policies.services.recovery.restored import REGION, Restored, make

THERE, OTHER = "eu-west-1", "210987654321"
VAULT = f"vault/{THERE}"


@dataclass
class Copied:
    """`here` is the account of the run, in all its regions; `far` is the one of `vault`."""

    restored: Restored
    vault: Account
    far: MemoryMaker = field(default_factory=lambda: MemoryMaker(OTHER))
    world: World = field(default_factory=World)

    def __post_init__(self) -> None:
        self.own = self.world.add(self.here)
        self.other = self.world.add(self.far)

    @property
    def here(self) -> MemoryMaker:
        return self.restored.memory

    @property
    def run(self) -> Run:
        return self.restored.run

    def reach(self, known: Credentials) -> MemoryCopies:
        return self.other if known.access_key_id == self.vault.access_key_id else self.own

    def maker(self, known: Credentials) -> MemoryMaker:
        return self.far if self.reach(known) is self.other else self.here

    def copy(self, account: Account | None = None, region: str = THERE) -> list[Copy]:
        """Copy each snapshot of the run; None: to the account of the run."""
        policy = self.run.policy
        assert policy is not None
        now = clock.now()
        rule = CopyRule.objects.create(
            policy=policy, account=account, region=region, created_at=now, seen_until=now
        )
        return [self._copy(row, rule) for row in RunSnapshot.objects.filter(target__run=self.run)]

    def _copy(self, source: RunSnapshot, rule: CopyRule) -> Copy:
        row = Copy(
            run=self.run,
            source=source,
            rule=rule,
            account=rule.account or self.run.account,
            region=rule.region,
            state="completed",
            progress=100,
            created_at=clock.now(),
            completed_at=clock.now(),
        )
        self.world.shared[source.snapshot_id].add(OTHER)
        cloud = self.other if row.account == self.vault else self.own
        request = CopyRequest(
            row.region, REGION, source.snapshot_id, copying.tags(row), "a copy", rule.kms_key
        )
        row.snapshot_id = cloud.copy(request)
        cloud.cloud.advance()
        self.world.shared[source.snapshot_id].clear()
        row.save(force_insert=True)
        return row

    def lose(self) -> None:
        """Delete the snapshots themselves, as somebody would outside; the rows do not know yet."""
        for row in RunSnapshot.objects.filter(target__run=self.run):
            self.here.delete_snapshot(row.snapshot_id)

    def know(self) -> None:
        """Enter what `lose` did."""
        RunSnapshot.objects.filter(target__run=self.run).update(state="gone")
        Run.objects.filter(pk=self.run.pk).update(restore_point=False)

    def of(self, volume_id: str, account: Account | None = None) -> str:
        """Return the id of the volume's copy."""
        rows = Copy.objects.filter(run=self.run, source__volume_id=volume_id)
        return rows.get(account=account or self.vault).snapshot_id


def copy_all(monkeypatch: pytest.MonkeyPatch) -> Copied:
    restored = make(monkeypatch)
    vault = factories.AccountFactory.create(
        owner=factories.alice(), name="vault", access_key_id="AKIASECONDACCOUNT001"
    )
    made = Copied(restored, vault)
    monkeypatch.setattr(session, "cloud", made.maker)
    monkeypatch.setattr(session, "making", made.maker)
    monkeypatch.setattr(session, "copies", made.reach)
    return made
