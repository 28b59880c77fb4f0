"""A restore point of Alice's, one in the Recycle Bin, a recovery to undo and one to cancel, for the matrix."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.db import models

from n2wbackup.lib import clock
from policies.adapters import session
from policies.adapters.memory import MemoryCloud
from policies.adapters.memory_removing import MemoryRemoving
from policies.domain.recovery.states import State
from policies.models import Policy, Recovery, RecoveryStep
from policies.ports import Snapshot
from tests import factories

VOLUME, BINNED = "vol-0123456789abcdef0", "snap-0b10b10b10b10b10b"
_FORMS: dict[str, dict[str, Any]] = {
    "runs/<uuid:run_id>/restore/": {"kind": "volume", "volume_id": VOLUME, "do": "restore"},
    "recoveries/<uuid:recovery_id>/cancel/": {"do": "cancel"},
}


def made(policy: Policy) -> dict[str, models.Model]:
    """Make the rows."""
    now = clock.now()
    run = factories.RunFactory.create(
        policy=policy, state="succeeded", ended_at=now, restore_point=True
    )
    target = factories.RunTargetFactory.create(run=run)
    factories.RunSnapshotFactory.create(target=target, volume_id=VOLUME, state="completed")
    binned = factories.RunFactory.create(policy=policy, state="succeeded", ended_at=now)
    factories.RunSnapshotFactory.create(
        target=factories.RunTargetFactory.create(run=binned),
        snapshot_id=BINNED,
        state="deleted",
        deleted_at=now,
        bin_until=now + timedelta(days=7),
    )
    columns = {
        "run": run,
        "run_id_copied": run.pk,
        "policy": policy,
        "owner": policy.owner,
        "account": policy.account,
        "policy_name": policy.name,
        "owner_name": policy.owner.username,
        "account_name": policy.account.name,
        "region": "us-east-1",
        "kind": "volume",
        "subject": VOLUME,
        "requested_by": "alice",
        "asked_at": now,
        "next_at": now,
    }
    ready = Recovery.objects.create(**columns, state=State.INITIALIZING, made_at=now)
    RecoveryStep.objects.create(
        recovery=ready,
        position=0,
        deed="create volume",
        params={"snapshot": "snap-1", "zone": "us-east-1a"},
        state="done",
        resource=VOLUME,
        begun_at=now,
    )
    queued = Recovery.objects.create(**columns)
    return {"restorepoint": run, "binned": binned, "recovery": ready, "queuedrecovery": queued}


def aws(cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what is in the Recycle Bin, whoever takes it out: what a request changes is undone in the database alone."""
    cloud.keep("us-east-1", Snapshot(BINNED, VOLUME, "completed"))
    monkeypatch.setattr(session, "removing", lambda _credentials: MemoryRemoving(cloud))


def filled(rows: Mapping[str, models.Model], route: str) -> str:
    """Return the route with the keys of these rows in it, where it is one of recoveries."""
    if route == "runs/<uuid:run_id>/restore/":
        return route.replace("<uuid:run_id>", str(rows["restorepoint"].pk))
    if route == "runs/<uuid:run_id>/take-back/":
        return route.replace("<uuid:run_id>", str(rows["binned"].pk))
    of = "queuedrecovery" if route.endswith("/cancel/") else "recovery"
    return route.replace("<uuid:recovery_id>", str(rows[of].pk))


def form(rows: Mapping[str, models.Model], route: str) -> dict[str, Any]:
    """Return what a page of recoveries is sent."""
    if route == "recoveries/<uuid:recovery_id>/undo/":
        return {"confirmation": str(rows["recovery"].pk)}
    return _FORMS.get(route, {})
