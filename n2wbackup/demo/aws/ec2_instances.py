"""EC2's descriptions of instances, volumes and regions, directly from moto's objects.

moto could answer these calls too, but takes three milliseconds per instance: hundreds of instances would
slow down everything else in this process.
"""

import re
from collections.abc import Sequence

from moto.ec2.models.elastic_block_store import Volume, VolumeAttachment
from moto.ec2.models.instances import Instance

from n2wbackup.demo.aws import ec2_roots, filters, tagging
from n2wbackup.demo.aws.answers import ApiError
from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.ec2_snapshots import refuse_malformed_instance
from n2wbackup.demo.aws.inventory import ACCOUNT_ID
from n2wbackup.demo.aws.simulator import Simulator

_VOLUME_ID = re.compile(r"vol-([0-9a-f]{8}|[0-9a-f]{17})")


def describe_instances(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Return the instances of the region, each in its own reservation."""
    ec2_roots.settle(simulator)
    wanted = filters.parse(call)
    ids = call.values("InstanceId")
    for instance_id in ids:
        refuse_malformed_instance(instance_id)
        simulator.inventory.instance(call.region, instance_id)
    simulator.refuse_dry_run(call)
    asked = set(ids)
    lag = simulator.options.eventual_consistency_seconds
    found = [
        each
        for each in simulator.inventory.instances(call.region)
        if each.id in asked or (not asked and simulator.inventory.is_listed(each.id, lag))
    ]

    def values(instance: Instance, name: str) -> Sequence[str] | None:
        tags = simulator.inventory.listed_tags(call.region, instance.id, lag)
        return _instance_values(simulator, instance, tags, name)

    selected = filters.select(found, wanted, values)
    shown, token = filters.page(
        call, selected, lambda each: simulator.inventory.position(each.id), by_id="InstanceId"
    )
    reservations = [
        {
            "reservationId": each.id.replace("i-", "r-"),
            "ownerId": ACCOUNT_ID,
            "instancesSet": [
                _instance(
                    simulator,
                    each,
                    simulator.inventory.listed_tags(call.region, each.id, lag),
                    simulator.roles.get(each.id, ("", ()))[0],
                )
            ],
        }
        for each in shown
    ]
    return {"reservationSet": reservations, "nextToken": token}


def _instance_values(
    simulator: Simulator, instance: Instance, tags: dict[str, str], name: str
) -> Sequence[str] | None:
    state, code = _state(simulator, instance)
    mappings = instance.get_block_device_mapping
    if name == "block-device-mapping.volume-id":
        return [str(mapping.volume_id) for _, mapping in mappings]
    if name == "block-device-mapping.device-name":
        return [device for device, _ in mappings]
    plain = {
        "instance-id": instance.id,
        "instance-state-name": state,
        "instance-state-code": str(code),
        "instance-type": instance.instance_type,
        "availability-zone": instance.availability_zone,
        "image-id": instance.image_id,
        "owner-id": ACCOUNT_ID,
        "private-ip-address": instance.private_ip,
        "root-device-name": instance.root_device_name,
        "root-device-type": "ebs",
        "subnet-id": instance.subnet_id,
        "vpc-id": instance.vpc_id,
    }
    return (str(plain[name]),) if name in plain else filters.tag_values(tags, name)


def _state(simulator: Simulator, instance: Instance) -> tuple[str, int]:
    return simulator.makings.instance_state(instance.id, instance.state, instance.state_code)


def _instance(
    simulator: Simulator, instance: Instance, tags: dict[str, str], role: str
) -> dict[str, object]:
    state, code = _state(simulator, instance)
    shape = dict(simulator.makings.shape(instance.id))
    placed = {"availabilityZone": instance.availability_zone, "tenancy": "default"}
    devices = [
        {
            "deviceName": device,
            "ebs": {
                "volumeId": mapping.volume_id,
                "status": "attached",
                "attachTime": mapping.attach_time,
                "deleteOnTermination": mapping.delete_on_termination,
            },
        }
        for device, mapping in instance.get_block_device_mapping
    ]
    return {
        "instanceId": instance.id,
        "imageId": instance.image_id,
        "instanceState": {"code": code, "name": state},
        "instanceType": instance.instance_type,
        "launchTime": instance.launch_time,
        "placement": placed | shape.pop("placement", {}),
        "monitoring": {"state": "disabled"},
        "subnetId": instance.subnet_id,
        "vpcId": instance.vpc_id,
        "privateDnsName": instance.private_dns_name,
        "privateIpAddress": instance.private_ip,
        "architecture": instance.architecture,
        "rootDeviceType": "ebs",
        "rootDeviceName": instance.root_device_name,
        "blockDeviceMapping": devices,
        "virtualizationType": "hvm",
        "hypervisor": "xen",
        "iamInstanceProfile": {
            "arn": f"arn:aws:iam::{ACCOUNT_ID}:instance-profile/{role}",
            "id": "AIPAJ0000000000000000",
        }
        if role
        else None,
        "tagSet": tagging.rendered(tags),
        **shape,
    }


def describe_instance_attribute(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Return the user data, in base64 as it was given; other attributes are not simulated."""
    instance_id, attribute = call.text("InstanceId"), call.text("Attribute")
    refuse_malformed_instance(instance_id)
    instance = simulator.inventory.instance(call.region, instance_id)
    if attribute != "userData":
        raise ApiError("Unsupported", f"The attribute {attribute} is not simulated.")
    simulator.refuse_dry_run(call)
    data = instance.user_data
    given = {"value": data.as_bytes().decode()} if data else {}
    return {"instanceId": instance.id, "userData": given}


def describe_volumes(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    ec2_roots.settle(simulator)
    wanted = filters.parse(call)
    ids = call.values("VolumeId")
    for volume_id in ids:
        if not _VOLUME_ID.fullmatch(volume_id):
            message = f"Value ({volume_id}) for parameter volumeId is invalid. Expected: 'vol-...'."
            raise ApiError("InvalidParameterValue", message)
        simulator.inventory.volume(call.region, volume_id)
    simulator.refuse_dry_run(call)
    asked = set(ids)
    lag = simulator.options.eventual_consistency_seconds
    found = [
        each
        for each in simulator.inventory.volumes(call.region)
        if each.id in asked or (not asked and simulator.inventory.is_listed(each.id, lag))
    ]

    def values(volume: Volume, name: str) -> Sequence[str] | None:
        return _volume_values(
            simulator, volume, simulator.inventory.listed_tags(call.region, volume.id, lag), name
        )

    selected = filters.select(found, wanted, values)
    shown, token = filters.page(
        call, selected, lambda each: simulator.inventory.position(each.id), by_id="VolumeId"
    )
    rows = [
        _volume(simulator, each, simulator.inventory.listed_tags(call.region, each.id, lag))
        for each in shown
    ]
    return {"volumeSet": rows, "nextToken": token}


def _volume_values(
    simulator: Simulator, volume: Volume, tags: dict[str, str], name: str
) -> Sequence[str] | None:
    attachment = volume.attachment
    if name in {"attachment.instance-id", "attachment.device", "attachment.status"}:
        if attachment is None:
            return ()
        shown = {
            "attachment.instance-id": attachment.instance.id,
            "attachment.device": attachment.device,
            "attachment.status": attachment.status,
        }
        return (str(shown[name]),)
    plain = {
        "volume-id": volume.id,
        "volume-type": volume.volume_type,
        "size": str(volume.size),
        "status": simulator.makings.volume_state(volume.id, str(volume.status)),
        "availability-zone": volume.availability_zone or "",
        "encrypted": str(volume.encrypted).lower(),
        "snapshot-id": volume.snapshot_id or "",
    }
    return (plain[name],) if name in plain else filters.tag_values(tags, name)


def _volume(simulator: Simulator, volume: Volume, tags: dict[str, str]) -> dict[str, object]:
    attachments = [
        {
            "volumeId": volume.id,
            "instanceId": attachment.instance.id,
            "device": attachment.device,
            "status": attachment.status,
            "attachTime": attachment.attach_time,
            "deleteOnTermination": _deletes(attachment),
        }
        for attachment in volume.attachments
    ]
    return {
        "volumeId": volume.id,
        "size": volume.size,
        "snapshotId": volume.snapshot_id or "",
        "availabilityZone": volume.availability_zone,
        "status": simulator.makings.volume_state(volume.id, str(volume.status)),
        "createTime": volume.create_time,
        "attachmentSet": attachments or None,
        "volumeType": volume.volume_type,
        "iops": volume.iops,
        "throughput": volume.throughput,
        "encrypted": volume.encrypted,
        "kmsKeyId": volume.kms_key_id,
        "multiAttachEnabled": False,
        "tagSet": tagging.rendered(tags),
    }


def _deletes(attachment: VolumeAttachment) -> bool:
    mapped = attachment.instance.block_device_mapping.get(attachment.device)
    return bool(mapped and mapped.delete_on_termination)


def describe_regions(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Return the regions of AWS's main partition; disabled ones only with AllRegions."""
    wanted = filters.parse(call)
    simulator.refuse_dry_run(call)
    rows = []
    for region in simulator.inventory.backend(call.region).describe_regions([]):
        status = region.opt_in_status
        if region.name in simulator.options.regions_off:
            status = "not-opted-in"
        elif status == "not-opted-in":
            status = "opted-in"
        if region.name.startswith(("us-gov-", "cn-")):
            continue
        rows.append(
            {
                "regionName": region.name,
                "regionEndpoint": region.endpoint,
                "optInStatus": status,
            }
        )
    names = call.values("RegionName")
    for name in names:
        if name not in {row["regionName"] for row in rows}:
            message = f"Invalid region names: [{name}]"
            raise ApiError("InvalidParameterValue", message)
    fields = {
        "region-name": "regionName",
        "opt-in-status": "optInStatus",
        "endpoint": "regionEndpoint",
    }

    def values(row: dict[str, str], name: str) -> Sequence[str] | None:
        return (row[fields[name]],) if name in fields else None

    shown = [
        row
        for row in filters.select(rows, wanted, values)
        if (call.flag("AllRegions") or row["optInStatus"] != "not-opted-in")
        and (not names or row["regionName"] in names)
    ]
    return {"regionInfo": shown}
