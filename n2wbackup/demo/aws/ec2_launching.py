"""EC2's actions on the life of instances: started from a registered image, stopped, started, ended.

RunInstances takes the parameters that are listed here and refuses others, so that nothing is lost in silence.
"""

from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.types import Base64EncodedString
from moto.ec2.models.instances import Instance

from n2wbackup.demo.aws import ec2_images, tagging
from n2wbackup.demo.aws.answers import ApiError
from n2wbackup.demo.aws.apicall import ApiCall, members
from n2wbackup.demo.aws.ec2_snapshots import refuse_malformed_instance, required
from n2wbackup.demo.aws.ec2_volumes import checked_sizes, made_of, refuse_zone, usable
from n2wbackup.demo.aws.inventory import ACCOUNT_ID, IMAGE_ID
from n2wbackup.demo.aws.makings import Image
from n2wbackup.demo.aws.simulator import Simulator

_GROUPED = {  # parameter → DescribeInstances' field, its members by name
    "CpuOptions": ("cpuOptions", {"CoreCount": "coreCount", "ThreadsPerCore": "threadsPerCore"}),
    "EnclaveOptions": ("enclaveOptions", {"Enabled": "enabled"}),
    "HibernationOptions": ("hibernationOptions", {"Configured": "configured"}),
    "MaintenanceOptions": ("maintenanceOptions", {"AutoRecovery": "autoRecovery"}),
    "MetadataOptions": (
        "metadataOptions",
        {
            "HttpTokens": "httpTokens",
            "HttpPutResponseHopLimit": "httpPutResponseHopLimit",
            "HttpEndpoint": "httpEndpoint",
            "HttpProtocolIpv6": "httpProtocolIpv6",
            "InstanceMetadataTags": "instanceMetadataTags",
        },
    ),
    "PrivateDnsNameOptions": (
        "privateDnsNameOptions",
        {
            "HostnameType": "hostnameType",
            "EnableResourceNameDnsARecord": "enableResourceNameDnsARecord",
            "EnableResourceNameDnsAAAARecord": "enableResourceNameDnsAAAARecord",
        },
    ),
}
_ABSENT: dict[str, dict[str, object]] = {
    "cpuOptions": {"coreCount": 1, "threadsPerCore": 2},
    "enclaveOptions": {"enabled": False},
    "hibernationOptions": {"configured": False},
    "maintenanceOptions": {"autoRecovery": "default"},
    "metadataOptions": {
        "state": "applied",
        "httpTokens": "optional",
        "httpPutResponseHopLimit": 1,
        "httpEndpoint": "enabled",
        "httpProtocolIpv6": "disabled",
        "instanceMetadataTags": "disabled",
    },
    "privateDnsNameOptions": {
        "hostnameType": "ip-name",
        "enableResourceNameDnsARecord": False,
        "enableResourceNameDnsAAAARecord": False,
    },
}
_PLAIN = {
    *("ClientToken", "DryRun", "EbsOptimized", "IamInstanceProfile.Arn", "ImageId", "UserData"),
    *("InstanceType", "KeyName", "MaxCount", "MinCount", "Monitoring.Enabled", "SubnetId"),
    *("Placement.AvailabilityZone", "Placement.GroupName", "Placement.Tenancy"),
}
_LISTS = ("BlockDeviceMapping.", "SecurityGroupId.", "TagSpecification.")
_FAMILIES = ("t2.", "t3.", "t3a.", "t4g.", "m5.", "m6i.", "m7g.", "c5.", "c6i.", "r5.", "r6i.")


def run_instances(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Start one instance, with the volumes of its image."""
    _refuse_unknown(call)
    found = (
        ec2_images.image(simulator, call.region, required(call, "ImageId"))
        if (call.text("ImageId") != IMAGE_ID)
        else None
    )
    if found is not None and found.state() != "available":
        raise ApiError(
            "InvalidAMIID.Unavailable", f"The image ID '{found.image_id}' is not available"
        )
    if not call.text("InstanceType").startswith(_FAMILIES):
        message = f"Invalid value '{call.text('InstanceType')}' for InstanceType."
        raise ApiError("InvalidParameterValue", message)
    subnet = _subnet(simulator, call)
    zone = _zone(simulator, call, subnet)
    groups = _groups(simulator, call)
    _refuse_unknown_key(simulator, call)
    tags = _tags(call)
    devices = _devices(simulator, call, found)
    simulator.refuse_dry_run(call)

    def make() -> dict[str, object]:
        instance = _started(simulator, call, subnet, zone, tags["instance"])
        for device, mapping in devices.items():
            _add(simulator, call, instance, device, mapping, tags["volume"])
        simulator.makings.shapes[instance.id] = _shape(call, found, groups)
        simulator.makings.turn(instance.id, "pending", 0, simulator.options)
        return _answer(instance)

    with simulator.inventory.lock:
        return simulator.makings.once(call, make)


def _refuse_unknown(call: ApiCall) -> None:
    known = _PLAIN | {f"{outer}.{name}" for outer, (_, of) in _GROUPED.items() for name in of}
    for key in call.parameters:
        if key not in known and not key.startswith(_LISTS):
            raise ApiError("Unsupported", f"RunInstances with {key} is not simulated.")
    if call.text("MinCount") != "1" or call.text("MaxCount") != "1":
        raise ApiError("Unsupported", "RunInstances of several instances is not simulated.")


def _subnet(simulator: Simulator, call: ApiCall) -> Any:  # noqa: ANN401 - moto's
    wanted = call.text("SubnetId")
    if not wanted:
        return None
    try:
        return simulator.inventory.backend(call.region).get_subnet(wanted)
    except ServiceException as error:
        message = f"The subnet ID '{wanted}' does not exist"
        raise ApiError("InvalidSubnetID.NotFound", message) from error


def _zone(simulator: Simulator, call: ApiCall, subnet: Any) -> str:  # noqa: ANN401 - moto's
    zone = call.text("Placement.AvailabilityZone")
    if zone:
        refuse_zone(simulator, call, zone)
    if subnet is None:
        return zone or f"{call.region}a"
    if zone and zone != subnet.availability_zone:
        message = f"The availability zone '{zone}' does not match that of the subnet."
        raise ApiError("InvalidParameterValue", message)
    return str(subnet.availability_zone)


def _groups(simulator: Simulator, call: ApiCall) -> list[dict[str, str]]:
    backend = simulator.inventory.backend(call.region)
    found = []
    for group_id in call.values("SecurityGroupId"):
        group = backend.get_security_group_from_id(group_id)
        if group is None:
            message = f"The security group '{group_id}' does not exist"
            raise ApiError("InvalidGroup.NotFound", message)
        found.append({"groupId": group_id, "groupName": str(group.name)})
    return found


def _refuse_unknown_key(simulator: Simulator, call: ApiCall) -> None:
    wanted = call.text("KeyName")
    pairs = simulator.inventory.backend(call.region).describe_key_pairs([]) if wanted else []
    if wanted and wanted not in {each.key_name for each in pairs}:
        message = f"The key pair '{wanted}' does not exist"
        raise ApiError("InvalidKeyPair.NotFound", message)


def _tags(call: ApiCall) -> dict[str, dict[str, str]]:
    tags: dict[str, dict[str, str]] = {"instance": {}, "volume": {}}
    for each in call.groups("TagSpecification"):
        kind = each.get("ResourceType", "")
        if kind not in tags:
            message = f"'{kind}' is not a valid taggable resource type for this operation."
            raise ApiError("InvalidParameterValue", message)
        tags[kind] |= tagging.checked(members(each, "Tag"))
    return tags


def _devices(simulator: Simulator, call: ApiCall, found: Image | None) -> dict[str, dict[str, Any]]:
    """Return the volumes to be made: those of the image, with what the call says of them."""
    devices = (
        {str(each["deviceName"]): dict(each["ebs"]) for each in found.mappings} if found else {}
    )
    for each in call.groups("BlockDeviceMapping"):
        ebs = devices.setdefault(each.get("DeviceName", ""), {"snapshotId": ""})
        names = {"VolumeType": "volumeType", "Iops": "iops", "Throughput": "throughput"}
        names |= {"KmsKeyId": "kmsKeyId", "SnapshotId": "snapshotId", "VolumeSize": "volumeSize"}
        for given, shown in names.items():
            if f"Ebs.{given}" in each:
                ebs[shown] = each[f"Ebs.{given}"]
        if "Ebs.DeleteOnTermination" in each:
            ebs["deleteOnTermination"] = each["Ebs.DeleteOnTermination"].lower() == "true"
    for ebs in devices.values():
        if ebs["snapshotId"]:
            usable(simulator, call, str(ebs["snapshotId"]))
        checked_sizes(
            str(ebs.get("volumeType") or "gp2"),
            str(ebs.get("iops") or ""),
            str(ebs.get("throughput") or ""),
        )
    return devices


def _started(
    simulator: Simulator,
    call: ApiCall,
    subnet: Any,  # noqa: ANN401 - moto's
    zone: str,
    tags: dict[str, str],
) -> Instance:
    data = call.text("UserData")
    reservation = simulator.inventory.backend(call.region).run_instances(
        call.text("ImageId"),
        1,
        Base64EncodedString(data) if data else None,
        [],
        instance_type=call.text("InstanceType"),
        is_instance_type_default=False,
        region_name=call.region,
        key_name=call.text("KeyName") or None,
        subnet_id=subnet.id if subnet else None,
        placement=zone,
        block_device_mappings=[],
        tags={"instance": tags},
    )
    instance: Instance = reservation.instances[0]
    for device in list(instance.block_device_mapping):
        instance.block_device_mapping.pop(device)
    simulator.inventory.enter_made(instance.id, None)
    return instance


def _add(
    simulator: Simulator,
    call: ApiCall,
    instance: Instance,
    device: str,
    ebs: dict[str, Any],
    tags: dict[str, str],
) -> None:
    backend = simulator.inventory.backend(call.region)
    kind = str(ebs.get("volumeType") or "gp2")
    sizes = checked_sizes(kind, str(ebs.get("iops") or ""), str(ebs.get("throughput") or ""))
    key, zone = str(ebs.get("kmsKeyId") or ""), str(instance.availability_zone)
    snapshot = simulator.snapshots.get(call.region, str(ebs["snapshotId"]))
    if snapshot is not None:
        volume_id = made_of(simulator, call.region, snapshot, zone, kind, sizes, key, tags).id
    else:
        volume = backend.create_volume(
            size=int(ebs.get("volumeSize") or 1), zone_name=zone, volume_type=kind, iops=sizes[0]
        )
        volume.throughput = sizes[1]
        volume.add_tags(tags)
        simulator.inventory.enter_made(volume.id, None)
        volume_id = volume.id
    deletes = bool(ebs.get("deleteOnTermination", True))
    backend.attach_volume(volume_id, instance.id, device, delete_on_termination=deletes)


def _shape(call: ApiCall, found: Image | None, groups: list[dict[str, str]]) -> dict[str, Any]:
    """Return what DescribeInstances says of the instance, beyond what moto knows."""
    shape: dict[str, Any] = {name: dict(of) for name, of in _ABSENT.items()}
    for outer, (shown, names) in _GROUPED.items():
        for given, name in names.items():
            if f"{outer}.{given}" in call.parameters:
                shape[shown][name] = call.text(f"{outer}.{given}")
    profile = call.text("IamInstanceProfile.Arn")
    shape |= {
        "keyName": call.text("KeyName") or None,
        "ebsOptimized": call.flag("EbsOptimized"),
        "groupSet": groups or None,
        "monitoring": {"state": "enabled" if call.flag("Monitoring.Enabled") else "disabled"},
        "iamInstanceProfile": {"arn": profile, "id": "AIPAJ0000000000000000"} if profile else None,
        "sourceDestCheck": True,
        "clientToken": call.text("ClientToken") or None,
    }
    image = found.fields if found else {"architecture": "x86_64"}
    for name in ("architecture", "bootMode", "enaSupport", "sriovNetSupport", "tpmSupport"):
        if image.get(name):
            shape[name] = image[name]
    shape["placement"] = {
        "tenancy": call.text("Placement.Tenancy") or "default",
        "groupName": call.text("Placement.GroupName") or None,
    }
    return shape


def _answer(instance: Instance) -> dict[str, object]:
    return {
        "reservationId": instance.id.replace("i-", "r-"),
        "ownerId": ACCOUNT_ID,
        "instancesSet": [
            {"instanceId": instance.id, "instanceState": {"code": 0, "name": "pending"}}
        ],
    }


def _each(simulator: Simulator, call: ApiCall) -> list[Instance]:
    ids = call.values("InstanceId")
    for instance_id in ids:
        refuse_malformed_instance(instance_id)
    return [simulator.inventory.instance(call.region, instance_id) for instance_id in ids]


def _refuse_ended(instances: list[Instance], verb: str) -> None:
    for each in instances:
        if each.state == "terminated":
            message = f"The instance '{each.id}' is not in a state from which it can be {verb}."
            raise ApiError("IncorrectInstanceState", message)


def stop_instances(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Stop instances; they are stopping for a moment. One that is stopped stays so."""
    with simulator.inventory.lock:
        found = _each(simulator, call)
        _refuse_ended(found, "stopped")
        simulator.refuse_dry_run(call)
        for each in found:
            if each.state == "running":
                simulator.inventory.backend(call.region).stop_instances([each.id])
                simulator.makings.turn(each.id, "stopping", 64, simulator.options)
    return {"instancesSet": [{"instanceId": each.id} for each in found]}


def start_instances(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Start instances that have a root volume. One that runs goes on."""
    with simulator.inventory.lock:
        found = _each(simulator, call)
        _refuse_ended(found, "started")
        for each in found:
            state = simulator.makings.instance_state(each.id, each.state, each.state_code)[0]
            if state == "stopping":
                message = (
                    f"The instance '{each.id}' is not in a state from which it can be started."
                )
                raise ApiError("IncorrectInstanceState", message)
            if each.root_device_name not in each.block_device_mapping:
                message = (
                    f"Invalid value '{each.id}' for instanceId. Instance does not have a volume attached at root "
                    f"({each.root_device_name})"
                )
                raise ApiError("InvalidParameterValue", message)
        simulator.refuse_dry_run(call)
        for each in found:
            if each.state == "stopped":
                simulator.inventory.backend(call.region).start_instances([each.id])
                simulator.makings.turn(each.id, "pending", 0, simulator.options)
    return {"instancesSet": [{"instanceId": each.id} for each in found]}


def terminate_instances(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """End instances, and delete the volumes that go with them."""
    with simulator.inventory.lock:
        found = _each(simulator, call)
        simulator.refuse_dry_run(call)
        for each in found:
            simulator.inventory.backend(call.region).terminate_instances([each.id])
            simulator.makings.turning.pop(each.id, None)
    return {"instancesSet": [{"instanceId": each.id} for each in found]}
