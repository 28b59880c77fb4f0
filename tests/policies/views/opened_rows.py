"""A snapshot of Alice's that is open, for the permission matrix; what it shows is an empty folder."""

from pathlib import Path
from typing import Any

import pytest
from django.db import models

from n2wbackup.lib import clock, home
from policies.adapters.folder_images import FolderImages
from policies.domain.browsing.states import State
from policies.models import OpenedSnapshot, Policy, PolicyTarget, RunSnapshot
from policies.ports.images import Order
from policies.services.browsing import asking, opening, reaching
from scripts_admin import permissions
from tests import factories

SNAPSHOT = "snap-0123456789abcdef0"
_ABOVE = "/home/app"


def made(policy: Policy) -> dict[str, models.Model]:
    """Make the row of a snapshot that is open, and of one that can be opened."""
    now = clock.now()
    permissions.let_open_snapshots(policy.owner)
    run = factories.RunFactory.create(
        policy=policy, state="succeeded", ended_at=now, restore_point=True
    )
    target = factories.RunTargetFactory.create(run=run)
    ready = RunSnapshot.State.COMPLETED
    factories.RunSnapshotFactory.create(target=target, snapshot_id=SNAPSHOT, state=ready)
    opened = OpenedSnapshot.objects.create(
        run=run,
        snapshot=factories.RunSnapshotFactory.create(target=target, state=ready),
        server=home.server_id(),
        asked_by="alice",
        state=State.OPEN,
        asked_at=now,
        opened_at=now,
        last_used_at=now,
        next_at=now,
    )
    return {"openedsnapshot": opened}


def form(route: str) -> dict[str, Any]:
    """Return what the page that copies to an instance is sent."""
    if route != "files/<uuid:opened_id>/copy/":
        return {}
    place = PolicyTarget.objects.filter(remote_by="ssh").earliest("pk")
    return {"instance": place.pk, "above": _ABOVE}


def lay(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Have every opened snapshot be this folder, for ever: only rows are undone between two tries.

    Nothing is entered about who looks: that is a change of its own, and has tests of its own.
    """
    images = FolderImages()
    tree = FolderImages({SNAPSHOT: folder}).opened(Order("key", "us-east-1", SNAPSHOT))
    patch.setattr(images, "again", lambda _: tree)
    patch.setattr(reaching, "images", lambda: images)
    patch.setattr(reaching, "close", lambda _: None)
    patch.setattr(opening, "used", lambda _: None)
    patch.setattr(asking, "record", lambda *_: None)
