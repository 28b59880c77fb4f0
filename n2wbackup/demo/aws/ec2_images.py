"""EC2's actions on images that are registered from snapshots."""

import secrets
import time
from collections.abc import Sequence
from typing import Any

from n2wbackup.demo.aws import filters, tagging
from n2wbackup.demo.aws.answers import ApiError
from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.ec2_snapshots import required
from n2wbackup.demo.aws.ec2_volumes import checked_sizes, usable
from n2wbackup.demo.aws.inventory import ACCOUNT_ID
from n2wbackup.demo.aws.makings import Image
from n2wbackup.demo.aws.simulator import Simulator

_ARCHITECTURES = frozenset({"i386", "x86_64", "arm64"})
_FIELDS = {
    "Architecture": "architecture",
    "BootMode": "bootMode",
    "Description": "description",
    "ImdsSupport": "imdsSupport",
    "RootDeviceName": "rootDeviceName",
    "SriovNetSupport": "sriovNetSupport",
    "TpmSupport": "tpmSupport",
    "VirtualizationType": "virtualizationType",
}


def register_image(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Register an image from completed snapshots; its name is the only one in the region."""
    name, root = required(call, "Name"), required(call, "RootDeviceName")
    used = next((i for i in simulator.makings.images.values() if _is(i, call.region, name)), None)
    if used is not None:
        message = f"AMI name {name} is already in use by AMI {used.image_id}"
        raise ApiError("InvalidAMIName.Duplicate", message)
    architecture = call.text("Architecture") or "i386"
    if architecture not in _ARCHITECTURES:
        raise ApiError("InvalidParameterValue", f"Invalid architecture {architecture}")
    mappings = [_mapping(simulator, call, each) for each in call.groups("BlockDeviceMapping")]
    if root not in {each["deviceName"] for each in mappings}:
        message = f"The root device {root} has no snapshot in the block device mappings"
        raise ApiError("InvalidBlockDeviceMapping", message)
    tags = tagging.at_creation(call, "image")
    simulator.refuse_dry_run(call)
    fields: dict[str, Any] = {
        shown: call.text(given) for given, shown in _FIELDS.items() if call.text(given)
    }
    fields |= {"architecture": architecture, "enaSupport": call.flag("EnaSupport")}
    image_id = f"ami-{secrets.token_hex(9)[:17]}"
    simulator.makings.images[image_id] = Image(
        image_id,
        call.region,
        name,
        time.monotonic(),
        simulator.options.image_seconds,
        fields,
        mappings,
        tags,
    )
    return {"imageId": image_id}


def _is(image: Image, region: str, name: str) -> bool:
    return (image.region, image.name) == (region, name)


def _mapping(simulator: Simulator, call: ApiCall, given: dict[str, str]) -> dict[str, Any]:
    snapshot = usable(simulator, call, given.get("Ebs.SnapshotId", ""))
    if "Ebs.Encrypted" in given:
        message = "the encrypted flag cannot be specified since device has a snapshot specified."
        raise ApiError("InvalidBlockDeviceMapping", message)
    kind = given.get("Ebs.VolumeType") or "standard"
    iops, throughput = checked_sizes(
        kind, given.get("Ebs.Iops", ""), given.get("Ebs.Throughput", "")
    )
    return {
        "deviceName": given.get("DeviceName", ""),
        "ebs": {
            "snapshotId": snapshot.snapshot_id,
            "volumeSize": snapshot.source.size_gib,
            "volumeType": kind,
            "iops": iops,
            "throughput": throughput,
            "deleteOnTermination": given.get("Ebs.DeleteOnTermination", "true").lower() == "true",
            "encrypted": snapshot.source.encrypted,
        },
    }


def image(simulator: Simulator, region: str, image_id: str) -> Image:
    """Return an image of the region; AWS's error if there is none."""
    found = simulator.makings.images.get(image_id)
    if found is None or found.region != region:
        message = f"The image id '[{image_id}]' does not exist"
        raise ApiError("InvalidAMIID.NotFound", message)
    return found


def describe_images(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Return the account's own images; there are no others. Disabled ones are shown to who asks for them."""
    wanted = filters.parse(call)
    ids = call.values("ImageId")
    for each in ids:
        image(simulator, call.region, each)
    simulator.refuse_dry_run(call)
    found = [
        each
        for each in list(simulator.makings.images.values())
        if each.region == call.region
        and (not ids or each.image_id in ids)
        and (not each.is_disabled or call.flag("IncludeDisabled"))
    ]
    return {"imagesSet": [_shown(each) for each in filters.select(found, wanted, _values)]}


def _values(each: Image, name: str) -> Sequence[str] | None:
    if name == "block-device-mapping.snapshot-id":
        return each.snapshot_ids()
    plain = {"image-id": each.image_id, "name": each.name, "state": each.state()}
    return (plain[name],) if name in plain else filters.tag_values(each.tags, name)


def _shown(each: Image) -> dict[str, object]:
    return {
        "imageId": each.image_id,
        "name": each.name,
        "imageState": each.state(),
        "imageOwnerId": ACCOUNT_ID,
        "isPublic": False,
        "imageType": "machine",
        "rootDeviceType": "ebs",
        "blockDeviceMapping": each.mappings,
        "tagSet": tagging.rendered(each.tags),
        **each.fields,
    }


def deregister_image(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Take an image away; what was started from it goes on."""
    found = image(simulator, call.region, required(call, "ImageId"))
    simulator.refuse_dry_run(call)
    del simulator.makings.images[found.image_id]
    return {"return": True}
