"""EC2's actions on snapshots.

AWS documents some refusals without their error codes (ids that ExcludeDataVolumeIds must not contain). For these
the code here is a guess: InvalidParameterValue for a wrong id, InvalidParameterCombination if no volume is left.
"""

import re
from collections.abc import Sequence

from moto.ec2.models.instances import Instance

from n2wbackup.demo.aws import filters, tagging
from n2wbackup.demo.aws.answers import ApiError, time_text
from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.simulator import Simulator
from n2wbackup.demo.aws.snapshots import Request, Snapshot, Source

EXCLUDED_VOLUMES = 40
_SNAPSHOT_ID = re.compile(r"snap-([0-9a-f]{8}|[0-9a-f]{17})")
_INSTANCE_ID = re.compile(r"i-([0-9a-f]{8}|[0-9a-f]{17})")


def required(call: ApiCall, name: str) -> str:
    """Return a parameter; AWS's error if it is missing."""
    value = call.text(name)
    if not value:
        message = f"The request must contain the parameter {name}"
        raise ApiError("MissingParameter", message)
    return value


def refuse_malformed_instance(instance_id: str) -> None:
    """Raise AWS's error if this cannot be the id of an instance."""
    if not _INSTANCE_ID.fullmatch(instance_id):
        raise ApiError("InvalidInstanceID.Malformed", f'Invalid id: "{instance_id}"')


def create_snapshots(
    simulator: Simulator, call: ApiCall, *, fails: bool = False
) -> dict[str, object]:
    """Create one crash-consistent set of snapshots of an instance's volumes."""
    instance_id = required(call, "InstanceSpecification.InstanceId")
    refuse_malformed_instance(instance_id)
    instance = simulator.inventory.instance(call.region, instance_id)
    if instance.state == "terminated":
        message = f"The instance '{instance_id}' is not in a valid state for this operation."
        raise ApiError("IncorrectState", message)
    volumes = [
        simulator.inventory.volume(call.region, volume_id)
        for volume_id in _chosen_volume_ids(call, instance)
    ]
    tags = tagging.at_creation(call, "snapshot")
    copy_tags = call.text("CopyTagsFromSource") == "volume"
    sources = []
    for volume in volumes:
        own = simulator.inventory.tags(call.region, volume.id) if copy_tags else {}
        sources.append((simulator.inventory.source(volume), own | tags))
    simulator.refuse_dry_run(call)
    request = Request(call.region, instance_id, call.text("Description"), fails, call.caller)
    return {"snapshotSet": [_created(each) for each in _create(simulator, request, sources)]}


def create_snapshot(
    simulator: Simulator, call: ApiCall, *, fails: bool = False
) -> dict[str, object]:
    """Create a snapshot of one volume."""
    volume = simulator.inventory.volume(call.region, required(call, "VolumeId"))
    tags = tagging.at_creation(call, "snapshot")
    simulator.refuse_dry_run(call)
    instance_id = str(volume.attachment.instance.id) if volume.attachment else ""
    request = Request(call.region, instance_id, call.text("Description"), fails, call.caller)
    made = _create(simulator, request, [(simulator.inventory.source(volume), tags)])
    content = _created(made[0])
    content["status"] = content.pop("state")
    return content


def _create(
    simulator: Simulator, request: Request, sources: Sequence[tuple[Source, dict[str, str]]]
) -> list[Snapshot]:
    made = simulator.snapshots.create(request, sources, simulator.options)
    for snapshot in made:
        simulator.inventory.mirror(request.region, snapshot)
    return made


def _chosen_volume_ids(call: ApiCall, instance: Instance) -> list[str]:
    """Return the attached volumes without the excluded ones."""
    attached = {
        str(mapping.volume_id): device for device, mapping in instance.get_block_device_mapping
    }
    root = {each for each, device in attached.items() if device == instance.root_device_name}
    excluded = call.values("InstanceSpecification.ExcludeDataVolumeId")
    if len(excluded) > EXCLUDED_VOLUMES:
        message = f"You can exclude at most {EXCLUDED_VOLUMES} data volumes."
        raise ApiError("InvalidParameterValue", message)
    for volume_id in excluded:
        if volume_id in root:
            message = f"Volume {volume_id} is the root volume; use ExcludeBootVolume to exclude it."
            raise ApiError("InvalidParameterValue", message)
        if volume_id not in attached:
            message = f"Volume {volume_id} is not attached to instance {instance.id}."
            raise ApiError("InvalidParameterValue", message)
    left_out = set(excluded)
    if call.flag("InstanceSpecification.ExcludeBootVolume"):
        left_out |= root
    chosen = [volume_id for volume_id in attached if volume_id not in left_out]
    if not chosen:
        message = f"Instance {instance.id} has no volume left to make a snapshot of."
        raise ApiError("InvalidParameterCombination", message)
    return chosen


def _created(snapshot: Snapshot) -> dict[str, object]:
    """Return a snapshot as in the answer of the call that created it: pending, whatever is configured."""
    return {
        "snapshotId": snapshot.snapshot_id,
        "volumeId": snapshot.source.volume_id,
        "state": "pending",
        "startTime": snapshot.of.created_at,
        "progress": "",
        "ownerId": snapshot.request.owner,
        "description": snapshot.request.description,
        "volumeSize": snapshot.source.size_gib,
        "encrypted": snapshot.source.encrypted,
        "tagSet": tagging.rendered(snapshot.tags),
    }


def _described(snapshot: Snapshot) -> dict[str, object]:
    return {
        "snapshotId": snapshot.snapshot_id,
        "volumeId": snapshot.source.volume_id,
        "status": snapshot.state(),
        "statusMessage": snapshot.message(),
        "startTime": snapshot.of.created_at,
        "progress": f"{snapshot.progress()}%",
        "ownerId": snapshot.request.owner,
        "description": snapshot.request.description,
        "volumeSize": snapshot.source.size_gib,
        "encrypted": snapshot.source.encrypted,
        "kmsKeyId": snapshot.source.kms_key_id,
        "storageTier": "standard",
        "transferType": _transfer(snapshot),
        "completionDurationMinutes": snapshot.completion_minutes or None,
        "completionTime": snapshot.completed_at(),
        "tagSet": tagging.rendered(snapshot.tags),
    }


def _transfer(snapshot: Snapshot) -> str | None:
    """Return AWS's word for how fast a copy was wanted; None for what is no copy."""
    if not snapshot.origin:
        return None
    return "time-based" if snapshot.completion_minutes else "standard"


def _filter_values(snapshot: Snapshot, name: str) -> Sequence[str] | None:
    if name == "status":
        return (snapshot.state(),)
    if name == "progress":
        return (f"{snapshot.progress()}%",)
    plain = {
        "snapshot-id": snapshot.snapshot_id,
        "volume-id": snapshot.source.volume_id,
        "owner-id": snapshot.request.owner,
        "description": snapshot.request.description,
        "start-time": time_text(snapshot.of.created_at),
        "volume-size": str(snapshot.source.size_gib),
        "encrypted": str(snapshot.source.encrypted).lower(),
        "storage-tier": "standard",
    }
    return (plain[name],) if name in plain else filters.tag_values(snapshot.tags, name)


def describe_snapshots(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Return the snapshots of the region that match the ids, owners and filters."""
    wanted = filters.parse(call)
    simulator.refuse_dry_run(call)
    ids = call.values("SnapshotId")
    found = [
        each
        for each in simulator.snapshots.all(call.region)
        if each.is_listed() and call.caller in {each.request.owner, *each.shared_with}
    ]
    if ids:
        refuse_unknown(ids, {each.snapshot_id for each in found})
        asked = set(ids)
        found = [each for each in found if each.snapshot_id in asked]
    owners = call.values("Owner")
    if owners:
        numbers = {call.caller if each == "self" else each for each in owners}
        found = [each for each in found if each.request.owner in numbers]
    selected = filters.select(found, wanted, _filter_values)
    shown, token = filters.page(call, selected, lambda each: each.position, by_id="SnapshotId")
    return {"snapshotSet": [_described(each) for each in shown], "nextToken": token}


def refuse_unknown(ids: Sequence[str], known: set[str]) -> None:
    """Raise AWS's error for the first id that is malformed or not known."""
    for snapshot_id in ids:
        _refuse_malformed(snapshot_id)
        if snapshot_id not in known:
            message = f"The snapshot '{snapshot_id}' does not exist."
            raise ApiError("InvalidSnapshot.NotFound", message)


def _refuse_malformed(snapshot_id: str) -> None:
    if not _SNAPSHOT_ID.fullmatch(snapshot_id):
        message = (
            f"Value ({snapshot_id}) for parameter snapshotId is invalid. Expected: 'snap-...'."
        )
        raise ApiError("InvalidParameterValue", message)
