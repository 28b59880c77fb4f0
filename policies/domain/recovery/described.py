"""A new instance as the old one was described when it was backed up, and how that differs from today. Pure.

`said` is what DescribeInstances answered then, in AWS's own names. What AWS gives to each instance anew (ids, times,
addresses) is left out; what it takes only in another place is moved there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from policies.domain.recovery import aws_words

OURS = "n2wbackup:"
_RESERVED = "aws:"
# What RegisterImage takes, and DescribeInstances says, by the same name.
_OF_IMAGE = ("Architecture", "BootMode", "EnaSupport", "SriovNetSupport", "TpmSupport")
# What RunInstances takes as DescribeInstances says it; without the members that it does not take.
_TAKEN: Mapping[str, tuple[str, ...]] = {
    "CpuOptions": ("CoreCount", "ThreadsPerCore", "AmdSevSnp"),
    "EnclaveOptions": ("Enabled",),
    "HibernationOptions": ("Configured",),
    "MaintenanceOptions": ("AutoRecovery",),
    "MetadataOptions": (
        *("HttpTokens", "HttpPutResponseHopLimit", "HttpEndpoint", "HttpProtocolIpv6"),
        "InstanceMetadataTags",
    ),
    "PrivateDnsNameOptions": (
        *("HostnameType", "EnableResourceNameDnsARecord", "EnableResourceNameDnsAAAARecord"),
    ),
}
_EBS = (("VolumeType", "VolumeType"), ("Iops", "Iops"), ("Throughput", "Throughput"))
_TAKES_IOPS = frozenset({"gp3", "io1", "io2"})
_COMPARED = {
    "InstanceType": "type",
    "SubnetId": "subnet",
    "KeyName": "key pair",
    "EbsOptimized": "EBS-optimized",
    "BootMode": "boot mode",
    "MetadataOptions": "metadata options",
    "ImageId": "image",
}
_USUAL_OPERATION = "RunInstances"  # AWS's word for an operating system without a licence to pay


@dataclass(frozen=True, slots=True)
class Change:
    """What the person wants otherwise than it was; empty: as it was."""

    zone: str = ""
    subnet_id: str = ""
    instance_type: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """Everything that is said to AWS for the new instance, and what cannot be as it was."""

    image: Mapping[str, Any]
    launch: Mapping[str, Any]
    tags: Mapping[str, str]
    volume_tags: Mapping[str, Mapping[str, str]]
    notes: tuple[str, ...] = field(default=())


class Difference(NamedTuple):
    """One thing that is not as it was when the backup was made."""

    subject: str
    then: str
    now: str


class Elsewhere(NamedTuple):
    """What was said of an instance, without what exists only where it was; and what that means."""

    said: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def elsewhere(said: Mapping[str, Any], *, region: str, account: str) -> Elsewhere:
    """Return what can be said to AWS in another region or account; empty names: it is the same one.

    Networks, groups and key pairs belong to a region of an account, roles to an account.
    """
    if not region and not account:
        return Elsewhere(said)
    where = " of ".join(each for each in (region, account) if each)
    left = dict(said)
    notes = []
    for key, words in _OF_A_PLACE.items():
        if left.pop(key, None):
            notes.append(words.format(where))
    if account and left.pop("IamInstanceProfile", None):
        notes.append(f"It has no role: the one of the backup does not exist in {where}.")
    placed = dict(left.get("Placement") or {})
    for key in ("GroupName", "HostId", "AvailabilityZone"):
        placed.pop(key, None)
    return Elsewhere({**left, "Placement": placed}, tuple(notes))


_OF_A_PLACE: Mapping[str, str] = {
    "SubnetId": "Its subnet does not exist in {}: without another one, AWS takes the default network there.",
    "SecurityGroups": "Its security groups do not exist in {}: it gets the default group of its network.",
    "KeyName": "Its key pair is not given in {}: the keys that are on its disk still log in.",
}


def blueprint(
    said: Mapping[str, Any],
    volumes: Mapping[str, Mapping[str, Any]],
    snapshots: Mapping[str, str],
    change: Change,
    user_data_sha256: str | None = "",
) -> Blueprint:
    """Return how to make the instance again; `snapshots` by their volumes. ValueError if its root has none."""
    mapped, notes, tags = [], [], {}
    for row in said.get("BlockDeviceMappings", []):
        device, volume_id = row["DeviceName"], row.get("Ebs", {}).get("VolumeId", "")
        if volume_id not in snapshots:
            notes.append(f"{volume_id} at {device} has no snapshot in this backup: it is left out.")
            continue
        mapped.append(_mapping(row, volumes.get(volume_id, {}), snapshots[volume_id]))
        tags[device] = own_tags(volumes.get(volume_id, {}))
    root = said.get("RootDeviceName", "")
    if root not in {each["DeviceName"] for each in mapped}:
        raise ValueError(
            f"the root volume at {root or 'its device'} has no snapshot in this backup"
        )
    image = {key: said[key] for key in _OF_IMAGE if said.get(key) not in {None, ""}}
    image |= {"VirtualizationType": said.get("VirtualizationType", "hvm"), "RootDeviceName": root}
    named = own_tags(said) | ({"Name": change.name} if change.name else {})
    notes += _lost(said, user_data_sha256)
    return Blueprint(
        {**image, "BlockDeviceMappings": mapped}, _launch(said, change), named, tags, tuple(notes)
    )


def own_tags(said: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags that can be given again: neither AWS's own nor this product's."""
    found = {tag["Key"]: tag.get("Value", "") for tag in said.get("Tags", [])}
    return {key: of for key, of in found.items() if not key.startswith((_RESERVED, OURS))}


def _mapping(row: Mapping[str, Any], volume: Mapping[str, Any], snapshot_id: str) -> dict[str, Any]:
    ebs: dict[str, Any] = {"SnapshotId": snapshot_id}
    ebs |= {name: volume[key] for key, name in _EBS if volume.get(key)}
    if ebs.get("VolumeType", "") not in _TAKES_IOPS:
        ebs.pop("Iops", None)
    if ebs.get("VolumeType") != "gp3":
        ebs.pop("Throughput", None)
    ebs["DeleteOnTermination"] = bool(row.get("Ebs", {}).get("DeleteOnTermination", True))
    return {"DeviceName": row["DeviceName"], "Ebs": ebs}


def _launch(said: Mapping[str, Any], change: Change) -> dict[str, Any]:
    given: dict[str, Any] = {"InstanceType": change.instance_type or said.get("InstanceType", "")}
    if said.get("KeyName"):
        given["KeyName"] = said["KeyName"]
    profile = said.get("IamInstanceProfile") or {}
    if profile.get("Arn"):
        given["IamInstanceProfile"] = {"Arn": profile["Arn"]}
    given["Placement"] = _placement(said, change)
    subnet = change.subnet_id or ("" if change.zone else said.get("SubnetId", ""))
    groups = [each["GroupId"] for each in said.get("SecurityGroups", [])]
    if subnet:
        given["SubnetId"] = subnet
        given["Placement"].pop("AvailabilityZone", None)  # the subnet has it
    if groups:
        given["SecurityGroupIds"] = groups
    if said.get("EbsOptimized") is not None:
        given["EbsOptimized"] = bool(said["EbsOptimized"])
    watched = (said.get("Monitoring") or {}).get("State", "")
    given["Monitoring"] = {"Enabled": watched in aws_words.MONITORED}
    for name, taken in _TAKEN.items():
        members = {
            key: said[name][key] for key in taken if (said.get(name) or {}).get(key) is not None
        }
        if members and not (name == "CpuOptions" and change.instance_type):
            given[name] = members
    return given


def _placement(said: Mapping[str, Any], change: Change) -> dict[str, Any]:
    then = said.get("Placement") or {}
    found = {"AvailabilityZone": change.zone or then.get("AvailabilityZone", "")}
    if then.get("Tenancy"):
        found["Tenancy"] = then["Tenancy"]
    if then.get("GroupName") and not change.zone:
        found["GroupName"] = then["GroupName"]
    return {key: of for key, of in found.items() if of}


def _lost(said: Mapping[str, Any], user_data_sha256: str | None) -> list[str]:
    """Return what the new instance does not have, and why."""
    notes = []
    if user_data_sha256 != "":
        known = (
            f"only their SHA-256 ({user_data_sha256}) was" if user_data_sha256 else "they were not"
        )
        notes.append(f"The user data are left out: {known} kept, as they may hold secrets.")
    if said.get("PrivateIpAddress"):
        notes.append(f"AWS gives it a new private address in place of {said['PrivateIpAddress']}.")
    if said.get("PublicIpAddress"):
        notes.append(
            f"{said['PublicIpAddress']} stays with the old instance: move elastic addresses by hand."
        )
    if len(said.get("NetworkInterfaces", [])) > 1:
        notes.append("It gets one network interface: attach the others by hand.")
    operation = said.get("UsageOperation", "")
    if operation and operation != _USUAL_OPERATION:
        system = said.get("PlatformDetails", "its operating system")
        notes.append(
            f"An image of snapshots does not carry the licence of {system}: restore its root volume in place instead, "
            "if the instance still exists."
        )
    if said.get("InstanceLifecycle") == "spot":
        notes.append("It was a spot instance: the new one is an on-demand instance.")
    return notes


def differences(then: Mapping[str, Any], now: Mapping[str, Any] | None) -> list[Difference]:
    """Return how the instance of the backup differs from the one of today; None: there is none any more."""
    if now is None:
        return [Difference("instance", "existed", "no longer exists")]
    rows = [(word, _shown(then.get(key)), _shown(now.get(key))) for key, word in _COMPARED.items()]
    rows += [
        ("zone", _zone(then), _zone(now)),
        ("security groups", _groups(then), _groups(now)),
        ("role", _role(then), _role(now)),
        ("devices", _devices(then), _devices(now)),
        ("tags", _tags(then), _tags(now)),
    ]
    return [Difference(*row) for row in rows if row[1] != row[2]]


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {value[key]}" for key in sorted(value))
    return "" if value is None else str(value)


def _zone(said: Mapping[str, Any]) -> str:
    return str((said.get("Placement") or {}).get("AvailabilityZone", ""))


def _groups(said: Mapping[str, Any]) -> str:
    return ", ".join(sorted(each.get("GroupId", "") for each in said.get("SecurityGroups", [])))


def _role(said: Mapping[str, Any]) -> str:
    return str((said.get("IamInstanceProfile") or {}).get("Arn", ""))


def _devices(said: Mapping[str, Any]) -> str:
    rows: Sequence[Mapping[str, Any]] = said.get("BlockDeviceMappings", [])
    return ", ".join(
        sorted(f"{row.get('DeviceName')} {row.get('Ebs', {}).get('VolumeId', '')}" for row in rows)
    )


def _tags(said: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={of}" for key, of in sorted(own_tags(said).items()))
