"""A snapshot of Alice's, and the folder that stands for what is in it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from n2wbackup.lib import clock
from policies.adapters.folder_images import FolderImages
from policies.domain.runs.sequence import State as RunState
from policies.models import Copy, OpenedSnapshot, RunSnapshot
from policies.services.browsing import asking, opening, reaching
from scripts_admin import permissions
from tests import factories

HTML = b'"><svg onload=alert(1)>.txt'
NOT_UTF_8 = b"\xff\xfe.bin"


def snapshot(owner: object = None, **columns: object) -> RunSnapshot:
    """Return a completed snapshot of a run that has ended; Alice's, unless told otherwise."""
    policy = factories.PolicyFactory.create(owner=owner or factories.alice())
    permissions.let_open_snapshots(policy.owner)
    run = factories.RunFactory.create(
        policy=policy, state=RunState.SUCCEEDED, ended_at=clock.now(), restore_point=True
    )
    target = factories.RunTargetFactory.create(run=run)
    made: RunSnapshot = factories.RunSnapshotFactory.create(
        target=target, **{"state": RunSnapshot.State.COMPLETED, **columns}
    )
    return made


def copy_of(made: RunSnapshot) -> Copy:
    """Return a completed copy of it, in eu-west-1 and a second account of its owner."""
    run = made.target.run
    vault = factories.AccountFactory.create(
        owner=run.owner, name="vault", access_key_id="AKIASECONDACCOUNT001"
    )
    return Copy.objects.create(
        run=run,
        source=made,
        account=vault,
        region="eu-west-1",
        state="completed",
        snapshot_id=f"snap-0copy{made.pk:09x}",
        created_at=clock.now(),
    )


def disk(folder: Path) -> Path:
    """Make a folder with what a snapshot may hold, and return it."""
    top = folder / "disk"
    top.mkdir()
    lay(top)
    return top


def lay(top: Path) -> None:
    """Lay what a snapshot may hold."""
    (top / "var" / "lib").mkdir(parents=True)
    (top / "etc").mkdir()
    (top / "etc" / "passwd").write_text("root:x:0:0\n")
    (top / "var" / "lib" / "ledger.db").write_bytes(b"0123456789" * 1000)
    (top / "var" / "lib" / "tool").write_bytes(b"#!/bin/sh\n")
    (top / "var" / "lib" / "tool").chmod(0o6755)
    (top / "var" / "lib" / "out").symlink_to("/etc/shadow")
    (top / "up").symlink_to("..")
    os.mkfifo(top / "var" / "lib" / "pipe")
    for name in (HTML, NOT_UTF_8):
        Path(os.fsdecode(os.fsencode(top) + b"/" + name)).write_bytes(b"hostile")


@contextmanager
def images(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[FolderImages]:
    """Have every snapshot be that folder."""
    made = FolderImages()
    made.folders = _Every(folder)
    patch.setattr(reaching, "images", lambda: made)
    yield made


class _Every(dict[str, Path]):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def __getitem__(self, key: str) -> Path:
        return self._folder


def open_now(made: RunSnapshot) -> OpenedSnapshot:
    """Return the snapshot, open."""
    row = asking.ask(made, by="alice")
    opening.work(row.pk)
    row.refresh_from_db()
    return row


def again(made: RunSnapshot) -> RunSnapshot:
    """Return the snapshot as it stands now, with all that leads to it."""
    return RunSnapshot.objects.select_related("target__run__account").get(pk=made.pk)
