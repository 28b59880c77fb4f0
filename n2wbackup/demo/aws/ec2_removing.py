"""EC2's actions that delete snapshots, keep them from it, and bring them back.

As on AWS: a snapshot goes to the Recycle Bin where a retention rule of the account says so; only the snapshot of an
AMI's root device is "in use"; a lock ends by itself. AWS documents no error codes for what a lock forbids: those here
are a guess, and nothing may depend on them.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from n2wbackup.demo.aws.answers import ApiError
from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.ec2_snapshots import refuse_unknown, required
from n2wbackup.demo.aws.inventory import ACCOUNT_ID
from n2wbackup.demo.aws.makings import Image
from n2wbackup.demo.aws.simulator import Simulator
from n2wbackup.demo.aws.snapshots import Snapshot

_COOL_OFF_HOURS = range(1, 73)
_SHORTEST = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock of a snapshot; `fixed_at`: from then on, a compliance lock can only be prolonged."""

    mode: str
    created_at: datetime
    until: datetime
    fixed_at: datetime | None = None

    def is_fixed(self, now: datetime) -> bool:
        return self.fixed_at is not None and self.fixed_at <= now

    @property
    def state(self) -> str:
        if self.mode == "governance":
            return "governance"
        return "compliance" if self.is_fixed(_now()) else "compliance-cooloff"


def _now() -> datetime:
    return datetime.now(tz=UTC)


def _known(simulator: Simulator, call: ApiCall) -> Snapshot:
    snapshot_id = required(call, "SnapshotId")
    found = simulator.snapshots.get(call.region, snapshot_id, call.caller)
    refuse_unknown([snapshot_id], {snapshot_id} if found else set())
    assert found is not None  # noqa: S101 - the line above has raised
    return found


def _lock_of(simulator: Simulator, snapshot_id: str) -> Lock | None:
    found = simulator.locks.get(snapshot_id)
    return found if found is not None and found.until > _now() else None


def _boots_from(image: Image) -> list[str]:
    root = image.fields.get("rootDeviceName")
    return [each["ebs"]["snapshotId"] for each in image.mappings if each["deviceName"] == root]


def delete_snapshot(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Delete a snapshot and its copy, or put it into the Recycle Bin."""
    snapshot_id = _known(simulator, call).snapshot_id
    simulator.refuse_dry_run(call)
    if _lock_of(simulator, snapshot_id):
        message = f"The snapshot {snapshot_id} is locked and cannot be deleted."
        raise ApiError("OperationNotPermitted", message)
    for image in list(simulator.makings.images.values()):
        if image.region == call.region and snapshot_id in _boots_from(image):
            message = f"The snapshot {snapshot_id} is currently in use by {image.image_id}"
            raise ApiError("InvalidSnapshot.InUse", message)
    seconds = simulator.options.recycle_bin_seconds
    if seconds > 0:
        simulator.put_into_bin(call.region, snapshot_id, _now() + timedelta(seconds=seconds))
    else:
        simulator.delete_snapshot(call.region, snapshot_id)
    return {"return": True}


def list_snapshots_in_recycle_bin(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Return the snapshots of the region that are in the Recycle Bin, or those with these ids."""
    simulator.refuse_dry_run(call)
    found = simulator.in_bin(call.region)
    ids = call.values("SnapshotId")
    refuse_unknown(ids, set(found))
    rows = [
        {
            "snapshotId": key,
            "recycleBinEnterTime": entered,
            "recycleBinExitTime": until,
            "description": snapshot.request.description,
            "volumeId": snapshot.source.volume_id,
        }
        for key, (snapshot, entered, until) in found.items()
        if not ids or key in ids
    ]
    return {"snapshotSet": rows}


def restore_snapshot_from_recycle_bin(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Bring a snapshot back, with its tags."""
    snapshot_id = required(call, "SnapshotId")
    refuse_unknown([snapshot_id], set(simulator.in_bin(call.region)))
    simulator.refuse_dry_run(call)
    snapshot = simulator.take_from_bin(call.region, snapshot_id)
    return {
        "snapshotId": snapshot_id,
        "volumeId": snapshot.source.volume_id,
        "ownerId": ACCOUNT_ID,
        "status": "recovering",
        "progress": "100%",
        "startTime": snapshot.of.created_at,
    }


def lock_snapshot(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Lock a snapshot, or change its lock as far as that is allowed."""
    snapshot_id, mode = _known(simulator, call).snapshot_id, required(call, "LockMode")
    if mode not in {"governance", "compliance"}:
        raise ApiError("InvalidParameterValue", f"Invalid value '{mode}' for lockMode.")
    now = _now()
    until, cool_off = _until(call, now), call.text("CoolOffPeriod")
    if cool_off and (mode != "compliance" or int(cool_off) not in _COOL_OFF_HOURS):
        message = "A cool-off period of 1 to 72 hours is allowed in compliance mode only."
        raise ApiError("InvalidParameterCombination", message)
    before = _lock_of(simulator, snapshot_id)
    if before and before.is_fixed(now) and (mode != before.mode or until < before.until):
        message = f"The snapshot {snapshot_id} is locked in compliance mode."
        raise ApiError("OperationNotPermitted", message)
    simulator.refuse_dry_run(call)
    fixed_at = now + timedelta(hours=int(cool_off or 0)) if mode == "compliance" else None
    made = simulator.locks[snapshot_id] = Lock(mode, now, until, fixed_at)
    return {
        "snapshotId": snapshot_id,
        "lockState": made.state,
        "lockCreatedOn": made.created_at,
        "lockExpiresOn": made.until,
        "coolOffPeriodExpiresOn": made.fixed_at,
    }


def _until(call: ApiCall, now: datetime) -> datetime:
    days, date = call.text("LockDuration"), call.text("ExpirationDate")
    if bool(days) == bool(date):
        message = "Exactly one of LockDuration and ExpirationDate is required."
        raise ApiError("InvalidParameterCombination", message)
    until = now + timedelta(days=int(days)) if days else datetime.fromisoformat(date)
    if until < now + _SHORTEST - timedelta(minutes=1):
        message = "The lock must last for at least one day."
        raise ApiError("InvalidParameterValue", message)
    return until


def unlock_snapshot(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Take a lock away that may still be taken away."""
    snapshot_id = _known(simulator, call).snapshot_id
    found = _lock_of(simulator, snapshot_id)
    if found is None:
        message = f"The snapshot {snapshot_id} is not locked."
        raise ApiError("InvalidParameterValue", message)
    if found.is_fixed(_now()):
        message = f"The snapshot {snapshot_id} is locked in compliance mode."
        raise ApiError("OperationNotPermitted", message)
    simulator.refuse_dry_run(call)
    del simulator.locks[snapshot_id]
    return {"snapshotId": snapshot_id}
