"""EC2's actions on volumes: made of snapshots, attached, detached, deleted, and how far they are loaded.

AWS documents most of the rules without their error codes. Where the code is not documented either, it is a guess:
IncorrectState for a wrong state, InvalidParameterValue for a wrong value.
"""

import re
import time
from typing import Any

from moto.ec2.models.elastic_block_store import Volume
from moto.ec2.models.instances import Instance

from n2wbackup.demo.aws import tagging
from n2wbackup.demo.aws.answers import ApiError
from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.ec2_snapshots import refuse_malformed_instance, required
from n2wbackup.demo.aws.makings import Loading
from n2wbackup.demo.aws.simulator import Simulator
from n2wbackup.demo.aws.snapshots import Snapshot

TYPES = frozenset({"standard", "gp2", "gp3", "io1", "io2", "st1", "sc1"})
_NEEDS_IOPS = frozenset({"io1", "io2"})
_TAKES_IOPS = _NEEDS_IOPS | {"gp3"}
_LEAST_RATE, _MOST_RATE = 100, 300
_DEVICE = re.compile(r"/dev/(sd[a-z][a-z]?[0-9]*|xvd[a-z][a-z]?[0-9]*)")
_FIXED = ("running", "stopped")


def usable(simulator: Simulator, call: ApiCall, snapshot_id: str) -> Snapshot:
    """Return a completed snapshot; AWS's error otherwise."""
    found = simulator.snapshots.get(call.region, snapshot_id)
    if found is None:
        message = f"The snapshot '{snapshot_id}' does not exist."
        raise ApiError("InvalidSnapshot.NotFound", message)
    if found.state() != "completed":
        message = f"Snapshot is in invalid state - {found.state()}"
        raise ApiError("IncorrectState", message)
    return found


def create_volume(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Make a volume of a completed snapshot."""
    snapshot = usable(simulator, call, required(call, "SnapshotId"))
    zone = required(call, "AvailabilityZone")
    refuse_zone(simulator, call, zone)
    kind = call.text("VolumeType") or "gp2"
    sizes = checked_sizes(kind, call.text("Iops"), call.text("Throughput"))
    rate = int(call.text("VolumeInitializationRate") or 0)
    if rate and not _LEAST_RATE <= rate <= _MOST_RATE:
        message = f"VolumeInitializationRate must be between {_LEAST_RATE} and {_MOST_RATE}."
        raise ApiError("InvalidParameterValue", message)
    tags = tagging.at_creation(call, "volume")
    simulator.refuse_dry_run(call)

    def make() -> dict[str, object]:
        volume = made_of(
            simulator, call.region, snapshot, zone, kind, sizes, call.text("KmsKeyId"), tags, rate
        )
        return _created(volume, kind, tags)

    with simulator.inventory.lock:
        return simulator.makings.once(call, make)


def checked_sizes(kind: str, iops: str, throughput: str) -> tuple[int | None, int | None]:
    """Return IOPS and throughput; AWS's error if the type does not take them."""
    if kind not in TYPES:
        message = f"Value ({kind}) for parameter volumeType is invalid."
        raise ApiError("InvalidParameterValue", message)
    if kind in _NEEDS_IOPS and not iops:
        message = f"The parameter iops must be specified for {kind} volumes."
        raise ApiError("MissingParameter", message)
    if iops and kind not in _TAKES_IOPS:
        message = f"The parameter iops is not supported for {kind} volumes."
        raise ApiError("InvalidParameterCombination", message)
    if throughput and kind != "gp3":
        message = f"The parameter throughput is not supported for {kind} volumes."
        raise ApiError("InvalidParameterCombination", message)
    return (int(iops) if iops else None, int(throughput) if throughput else None)


def made_of(  # noqa: PLR0913, PLR0917 - all that makes up a volume
    simulator: Simulator,
    region: str,
    snapshot: Snapshot,
    zone: str,
    kind: str,
    sizes: tuple[int | None, int | None],
    kms_key_id: str,
    tags: dict[str, str],
    rate: int = 0,
) -> Volume:
    """Make a volume that AWS loads from the snapshot; it can be attached after a moment."""
    inventory, options, source = simulator.inventory, simulator.options, snapshot.source
    volume = inventory.backend(region).create_volume(
        size=source.size_gib,
        zone_name=zone,
        encrypted=source.encrypted or bool(kms_key_id),
        volume_type=kind,
        iops=sizes[0] or (100 if kind in _NEEDS_IOPS else None),
        kms_key_id=kms_key_id or source.kms_key_id,
    )
    volume.throughput = sizes[1]
    volume.snapshot_id = snapshot.snapshot_id
    volume.add_tags(tags)
    behind = inventory.copies_of(snapshot.copy) if snapshot.copy else None
    inventory.enter_made(volume.id, behind)
    now = time.monotonic()
    makings = simulator.makings
    seconds = options.initialization_seconds / (2 if rate else 1)
    makings.loading[volume.id] = Loading(snapshot.snapshot_id, now, seconds, rate)
    makings.creating[volume.id] = now + options.creating_seconds
    makings.origins[volume.id] = source.volume_id
    return volume


def refuse_zone(simulator: Simulator, call: ApiCall, zone: str) -> None:
    """Raise AWS's error if the region has no such zone."""
    known = {
        each.name for each in simulator.inventory.backend(call.region).describe_availability_zones()
    }
    if zone not in known:
        message = f"The zone '{zone}' does not exist."
        raise ApiError("InvalidZone.NotFound", message)


def _created(volume: Volume, kind: str, tags: dict[str, str]) -> dict[str, object]:
    return {
        "volumeId": volume.id,
        "size": volume.size,
        "snapshotId": volume.snapshot_id,
        "availabilityZone": volume.availability_zone,
        "status": "creating",
        "createTime": volume.create_time,
        "volumeType": kind,
        "iops": volume.iops,
        "throughput": volume.throughput,
        "encrypted": volume.encrypted,
        "kmsKeyId": volume.kms_key_id,
        "tagSet": tagging.rendered(tags),
    }


def _volume(simulator: Simulator, call: ApiCall) -> Volume:
    return simulator.inventory.volume(call.region, required(call, "VolumeId"))


def state_of(simulator: Simulator, volume: Volume) -> str:
    """Return the volume's state as DescribeVolumes shows it."""
    return simulator.makings.volume_state(volume.id, str(volume.status))


def attach_volume(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Attach a volume that is available, in the instance's zone, at a device that is free."""
    device = required(call, "Device")
    with simulator.inventory.lock:
        instance, volume = _instance(simulator, call), _volume(simulator, call)
        refuse_attaching(simulator, volume, instance, device)
        simulator.refuse_dry_run(call)
        # A volume that is attached later stays when the instance ends, unless somebody says otherwise.
        simulator.inventory.backend(call.region).attach_volume(
            volume.id, instance.id, device, delete_on_termination=False
        )
    return _attachment(volume, instance, device, "attaching")


def refuse_attaching(simulator: Simulator, volume: Volume, instance: Instance, device: str) -> None:
    """Raise AWS's error if the volume cannot be attached there now."""
    if volume.attachment is not None:
        message = f"{volume.id} is already attached to an instance"
        raise ApiError("VolumeInUse", message)
    if state_of(simulator, volume) != "available":
        raise ApiError("IncorrectState", f"{volume.id} is not 'available'.")
    if volume.availability_zone != instance.availability_zone:
        message = f"The volume '{volume.id}' is not in the same availability zone as instance '{instance.id}'"
        raise ApiError("InvalidVolume.ZoneMismatch", message)
    state = simulator.makings.instance_state(instance.id, instance.state, instance.state_code)[0]
    if state not in _FIXED:
        raise ApiError("IncorrectState", f"Instance '{instance.id}' is not 'running'.")
    if device == instance.root_device_name and state != "stopped":
        message = f"A root volume cannot be attached to '{instance.id}' while it is running."
        raise ApiError("OperationNotPermitted", message)
    if not _DEVICE.fullmatch(device):
        message = f"Value ({device}) for parameter device is invalid. {device} is not a valid EBS device name."
        raise ApiError("InvalidParameterValue", message)
    if device in instance.block_device_mapping:
        message = (
            f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use"
        )
        raise ApiError("InvalidParameterValue", message)


def _instance(simulator: Simulator, call: ApiCall) -> Instance:
    instance_id = required(call, "InstanceId")
    refuse_malformed_instance(instance_id)
    return simulator.inventory.instance(call.region, instance_id)


def detach_volume(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Detach a volume; the root volume only from an instance that is stopped."""
    with simulator.inventory.lock:
        volume = _volume(simulator, call)
        attachment = volume.attachment
        wanted = call.text("InstanceId")
        if attachment is None or (wanted and attachment.instance.id != wanted):
            message = f"Volume '{volume.id}' is in the '{state_of(simulator, volume)}' state."
            raise ApiError("IncorrectState", message)
        instance, device = attachment.instance, attachment.device
        state = simulator.makings.instance_state(instance.id, instance.state, instance.state_code)[
            0
        ]
        if device == instance.root_device_name and state != "stopped":
            message = f"Unable to detach root volume '{volume.id}' from instance '{instance.id}'"
            raise ApiError("OperationNotPermitted", message)
        simulator.refuse_dry_run(call)
        simulator.inventory.backend(call.region).detach_volume(volume.id, instance.id, device)
    return _attachment(volume, instance, device, "detaching")


def _attachment(volume: Volume, instance: Instance, device: str, status: str) -> dict[str, object]:
    return {
        "volumeId": volume.id,
        "instanceId": instance.id,
        "device": device,
        "status": status,
        "deleteOnTermination": False,
    }


def delete_volume(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Delete a volume that is not attached."""
    with simulator.inventory.lock:
        volume = _volume(simulator, call)
        if volume.attachment is not None:
            message = f"Volume {volume.id} is currently attached to {volume.attachment.instance.id}"
            raise ApiError("VolumeInUse", message)
        simulator.refuse_dry_run(call)
        simulator.inventory.backend(call.region).delete_volume(volume.id)
    return {"return": True}


def describe_volume_status(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Return how far volumes are loaded. AWS says it only some time after a volume was made of a snapshot."""
    ids = call.values("VolumeId")
    for each in ids:
        simulator.inventory.volume(call.region, each)
    simulator.refuse_dry_run(call)
    with simulator.inventory.lock:
        volumes = simulator.inventory.volumes(call.region)
    rows = [_status(simulator, each) for each in volumes if not ids or each.id in ids]
    return {"volumeStatusSet": rows}


def _status(simulator: Simulator, volume: Volume) -> dict[str, Any]:
    loading = simulator.makings.loading.get(volume.id)
    details: dict[str, object] | None = None
    if (
        loading
        and time.monotonic() - loading.since >= simulator.options.initialization_unknown_seconds
    ):
        kind = "provisioned-rate" if loading.rate else "default"
        details = {"initializationType": kind, "progress": loading.progress()}
        if loading.rate:
            details["estimatedTimeToCompleteInSeconds"] = loading.remaining()
    return {
        "volumeId": volume.id,
        "availabilityZone": volume.availability_zone,
        "volumeStatus": {"status": "ok"},
        "initializationStatusDetails": details,
    }


def modify_instance_attribute(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Set DeleteOnTermination of devices; other attributes are not simulated."""
    known = {"InstanceId", "DryRun"}
    if any(
        key not in known and not key.startswith("BlockDeviceMapping.") for key in call.parameters
    ):
        message = "Only DeleteOnTermination is simulated."
        raise ApiError("Unsupported", message)
    with simulator.inventory.lock:
        instance = _instance(simulator, call)
        groups = call.groups("BlockDeviceMapping")
        for each in groups:
            if each.get("DeviceName", "") not in instance.block_device_mapping:
                message = f"No device is currently mapped at {each.get('DeviceName', '')}"
                raise ApiError("InvalidInstanceAttributeValue", message)
        simulator.refuse_dry_run(call)
        for each in groups:
            deletes = each.get("Ebs.DeleteOnTermination", "").lower() == "true"
            instance.block_device_mapping[each["DeviceName"]].delete_on_termination = deletes
    return {"return": True}
