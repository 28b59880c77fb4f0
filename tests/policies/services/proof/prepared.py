"""What proofs stand on in tests: a run with a snapshot, its blocks and its image in memory."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from n2wbackup.lib import clock
from policies.adapters.folder_images import FolderImages
from policies.adapters.memory_blocks import MemoryBlocks, MemorySnapshot
from policies.models import Policy, Proof, Run, RunSnapshot, RunTarget
from scripts_admin import permissions
from tests import factories

MARK = "5f3c" * 8


@dataclass
class Provable:
    """A policy with one restore point, whose snapshot is a folder."""

    policy: Policy
    run: Run
    snapshot: str
    folder: Path
    images: FolderImages
    blocks: MemoryBlocks

    def again(self, proof: Proof) -> Proof:
        return Proof.objects.select_related("run", "policy").get(pk=proof.pk)

    def mark(self, text: str = "") -> None:
        (self.folder / "n2wbackup_marks").write_text(text or f"{MARK} 1\n")


def provable(policy: Policy, folder: Path) -> Provable:
    """Make a restore point of the policy whose snapshot has the folder's files and a hundred blocks."""
    folder.mkdir()
    permissions.let_open_snapshots(policy.owner)
    run, snapshot = restore_point(policy)
    blocks = MemoryBlocks({snapshot: MemorySnapshot(dict.fromkeys(range(100), b"x"))})
    return Provable(policy, run, snapshot, folder, FolderImages({snapshot: folder}), blocks)


def restore_point(policy: Policy, **columns: object) -> tuple[Run, str]:
    now = clock.now()
    run: Run = factories.RunFactory.create(
        policy=policy,
        **{
            "state": "succeeded",
            "consistency": "application",
            "restore_point": True,
            "fired_at": now,
            "ended_at": now,
            "mark": MARK,
            **columns,
        },
    )
    target = factories.RunTargetFactory.create(run=run, state=RunTarget.State.USABLE)
    made = factories.RunSnapshotFactory.create(target=target, state=RunSnapshot.State.COMPLETED)
    return run, made.snapshot_id


def has_bash() -> bool:
    return shutil.which("bash") is not None
