"""A restore point of an instance in memory, and a worker that restores from it without waiting."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from n2wbackup.lib import clock
from policies.adapters import broker, session
from policies.adapters.memory_making import MemoryMaker
from policies.domain.recovery.states import Kind
from policies.models import Recovery, Run, RunSnapshot
from policies.ports import FireRequest, Instance
from policies.services.recovery import asking, deeds, working
from policies.services.recovery.planning import Choices
from policies.services.window import descriptions
from tests import factories

REGION = "us-east-1"


@dataclass
class Restored:
    """Alice's policy, an instance with a root and a data volume, and one whole backup of it."""

    memory: MemoryMaker
    run: Run
    instance: Instance

    @property
    def root(self) -> str:
        return self.instance.volume_ids[0]

    @property
    def data(self) -> str:
        return self.instance.volume_ids[1]

    def now(self, resource_id: str | None = None) -> dict[str, Any]:
        """Return what AWS says of the instance, or of a volume."""
        wanted = resource_id or self.instance.instance_id
        if wanted.startswith("vol-"):
            volume = self.memory.volumes(REGION, [wanted]).get(wanted)
            return dict(volume.answer) if volume else {}
        found = self.memory.instances(REGION, [wanted]).get(wanted)
        return dict(found.answer) if found else {}

    def devices(self) -> dict[str, str]:
        """Return the volumes of the instance by their devices."""
        rows = self.now().get("BlockDeviceMappings", [])
        return {row["DeviceName"]: row["Ebs"]["VolumeId"] for row in rows}

    def state(self) -> str:
        return self.memory.instances(REGION, [self.instance.instance_id])[
            self.instance.instance_id
        ].state

    def snapshot_of(self, volume_id: str) -> str:
        return RunSnapshot.objects.get(volume_id=volume_id, target__run=self.run).snapshot_id

    def ask(self, kind: Kind, confirmation: str = "", **wanted: Any) -> Recovery:
        choices = Choices(kind, **wanted)
        return asking.ask(self.run, choices, by="alice", confirmation=confirmation)

    def work(self, recovery: Recovery, until: Callable[[Recovery], bool] | None = None) -> Recovery:
        """Let workers take it again and again, as the ticks do, until it has ended."""
        for _ in range(60):
            working.execute(recovery.pk)
            recovery.refresh_from_db()
            if recovery.ended_at or (until and until(recovery)):
                return recovery
            hurry(recovery)
        raise AssertionError(f"it does not end: {recovery.state} {recovery.waiting_for}")

    def volumes(self) -> set[str]:
        return {each.volume_id for each in self.memory.all_volumes(REGION)}


def hurry(recovery: Recovery, **passed: timedelta) -> None:
    """Let the pause of a recovery, or the claim of a worker that died, be over."""
    Recovery.objects.filter(pk=recovery.pk).update(next_at=clock.now() - timedelta(seconds=1))


def minutes_pass(recovery: Recovery, minutes: int = 40) -> None:
    """Let so much time go by for the recovery and its steps."""
    ago = timedelta(minutes=minutes)
    row = Recovery.objects.get(pk=recovery.pk)
    if row.trouble_since:
        row.trouble_since -= ago
    row.next_at = clock.now() - timedelta(seconds=1)
    row.save()
    for step in row.steps.exclude(begun_at=None):
        assert step.begun_at is not None
        step.begun_at -= ago
        step.save()


def make(monkeypatch: pytest.MonkeyPatch) -> Restored:
    """Back an instance up into rows, and let nothing wait."""
    memory = MemoryMaker()
    monkeypatch.setattr(session, "cloud", lambda _: memory)
    monkeypatch.setattr(session, "making", lambda _: memory)
    monkeypatch.setattr(broker, "send", lambda *_: None)
    monkeypatch.setattr(working, "STEP_SECONDS", 0.0)
    monkeypatch.setattr(working, "TURN_SECONDS", 0.1)
    instance = memory.add_instance(REGION)
    for volume_id in instance.volume_ids:
        memory.retag(volume_id, {"Name": f"disk {volume_id[-1]}", "aws:cloudformation": "x"})
    policy = factories.PolicyFactory.create(owner=factories.alice(), name="shop")
    run = factories.RunFactory.create(
        policy=policy,
        state="succeeded",
        ended_at=clock.now(),
        restore_point=True,
        fired_at=clock.now(),
        consistency="application",
    )
    volumes = memory.volumes(REGION, instance.volume_ids)
    description = descriptions.enter(memory, REGION, instance, volumes)
    target = factories.RunTargetFactory.create(
        run=run,
        instance_id=instance.instance_id,
        region=REGION,
        description=description,
        expected_volume_ids=list(instance.volume_ids),
        state="usable",
    )
    fired = memory.fire(FireRequest(REGION, {}, "a backup", instance.instance_id), 10)
    memory.advance()
    for each in fired:
        factories.RunSnapshotFactory.create(
            target=target,
            snapshot_id=each.snapshot_id,
            volume_id=each.volume_id,
            state="completed",
            progress=100,
        )
    memory.calls.clear()
    return Restored(memory, run, instance)


__all__ = ["REGION", "Restored", "deeds", "hurry", "make", "minutes_pass"]
