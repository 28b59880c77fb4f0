"""A copy of the provable snapshot, in Alice's second account in eu-west-1."""

from policies.adapters.memory_blocks import MemorySnapshot
from policies.models import Account, Copy, Run, RunSnapshot
from tests import factories
from tests.policies.services.proof.prepared import Provable

THERE = "eu-west-1"
PLACE = f"vault/{THERE}"
COPY = "snap-0c0c0c0c0c0c0c0c0"


def vault() -> Account:
    return factories.AccountFactory.create(
        owner=factories.alice(), name="vault", access_key_id="AKIASECONDACCOUNT001"
    )


def copied(ready: Provable, snapshot_id: str = COPY) -> Copy:
    """Copy the snapshot, with its files and blocks."""
    source = RunSnapshot.objects.get(target__run=ready.run)
    ready.images.folders[snapshot_id] = ready.folder
    ready.blocks.snapshots[snapshot_id] = MemorySnapshot(dict.fromkeys(range(100), b"x"))
    return Copy.objects.create(
        run=ready.run,
        source=source,
        account=vault(),
        region=THERE,
        state="completed",
        snapshot_id=snapshot_id,
        created_at=ready.run.created_at,
    )


def lose(ready: Provable) -> None:
    """Let the snapshot itself be gone, and its run no restore point any more."""
    RunSnapshot.objects.filter(target__run=ready.run).update(state="gone")
    Run.objects.filter(pk=ready.run.pk).update(restore_point=False)
