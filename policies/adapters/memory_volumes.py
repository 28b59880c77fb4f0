"""Volumes and instances of an account's AWS in memory, made, attached, stopped: for tests, see memory_making.py."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from n2wbackup.lib import clock
from policies.adapters import limits, translate
from policies.adapters.memory import ACCOUNT, MemoryCloud, PortCall
from policies.adapters.memory_methods import Method
from policies.adapters.translate import Call
from policies.domain.errors import AwsError
from policies.ports import Instance, Volume
from policies.ports.making import (
    ImageOrder,
    Initialization,
    RootTask,
    VolumeOrder,
)

_ROOT = "/dev/sda"


class MemoryVolumes(MemoryCloud):
    """A `MemoryCloud` whose volumes can be made and moved. Each method can fail as `fail_next` says."""

    def __init__(self, aws_account_id: str = ACCOUNT) -> None:
        """Start empty."""
        super().__init__(aws_account_id)
        self.progress: dict[str, Initialization | None] = {}  # by volume; without an entry:
        self.usual_progress: Initialization | None = Initialization(100)
        self._images: dict[str, tuple[str, ImageOrder]] = {}
        self._tasks: dict[str, RootTask] = {}
        self._answers: dict[tuple[str, str], tuple[object, str]] = {}

    def add_instance(self, region: str = "us-east-1", volumes: int = 2) -> Instance:
        """Create a running instance, as DescribeInstances shows one."""
        made = super().add_instance(region, volumes)
        zone = f"{region}a"
        answer = {
            **made.answer,
            "State": {"Name": "running"},
            "RootDeviceName": _ROOT,
            "InstanceType": "t3.micro",
            "Placement": {"AvailabilityZone": zone, "Tenancy": "default"},
        }
        for device in answer["BlockDeviceMappings"]:
            volume_id, name = device["Ebs"]["VolumeId"], device["DeviceName"]
            device["Ebs"]["DeleteOnTermination"] = True
            self._change(volume_id, AvailabilityZone=zone)
            self._hang(volume_id, made.instance_id, name)
        self._instances[made.instance_id] = replace(made, answer=answer)
        return self._instances[made.instance_id]

    def add_volume(self, region: str = "us-east-1", volume_type: str = "gp3") -> Volume:
        """Create a volume that is not attached, as DescribeVolumes shows one."""
        made = super().add_volume(region, volume_type)
        return self._change(made.volume_id, AvailabilityZone=f"{region}a", State="available")

    # The port

    def create_volume(self, order: VolumeOrder, *, dry_run: bool = False) -> str:
        """Make a volume that can be attached at once."""
        call = Call("CreateVolume", order.snapshot_id, order.region)
        lost = self._making("create_volume", call, order.snapshot_id)
        self._usable(order.region, order.snapshot_id, call)
        if not order.zone.startswith(order.region):
            raise translate.refusal("InvalidZone.NotFound", f"The zone '{order.zone}'", call)
        if dry_run:
            return ""
        return self._once(call, order.token, order, lost, lambda: self._volume_of(order))

    def _volume_of(self, order: VolumeOrder) -> str:
        kind = order.volume_type or "gp2"
        made = self._add_volume(order.region, kind, "")
        self._change(
            made.volume_id,
            State="available",
            AvailabilityZone=order.zone,
            SnapshotId=order.snapshot_id,
            CreateTime=str(clock.now()),
            Tags=tags(order.tags),
            **({"Iops": order.iops} if order.iops else {}),
            **({"Throughput": order.throughput} if order.throughput else {}),
        )
        return made.volume_id

    def attach(
        self, region: str, volume_id: str, instance_id: str, device: str, *, dry_run: bool = False
    ) -> None:
        """Attach a volume."""
        call = Call("AttachVolume", volume_id, region)
        lost = self._making("attach", call, volume_id, instance_id)
        volume, instance = self._there(volume_id, region, call), self._live(instance_id, call)
        if volume.instance_id:
            raise translate.refusal("VolumeInUse", "already attached", call)
        if volume.answer.get("AvailabilityZone") != zone(instance):
            raise translate.refusal("InvalidVolume.ZoneMismatch", "other zone", call)
        if any(each["DeviceName"] == device for each in instance.answer["BlockDeviceMappings"]):
            raise translate.refusal("InvalidParameterValue", f"{device} is already in use", call)
        if device == instance.answer["RootDeviceName"] and instance.state != "stopped":
            raise translate.refusal("OperationNotPermitted", "it is running", call)
        if not dry_run:
            self._map(instance, [*devices(instance), mapping(device, volume_id, deletes=False)])
            self._hang(volume_id, instance_id, device)
        lose(lost)

    def detach(
        self, region: str, volume_id: str, instance_id: str, *, dry_run: bool = False
    ) -> None:
        """Detach a volume."""
        call = Call("DetachVolume", volume_id, region)
        lost = self._making("detach", call, volume_id, instance_id)
        volume = self._there(volume_id, region, call)
        if volume.instance_id != instance_id:
            raise translate.refusal("IncorrectState", "it is 'available'", call)
        instance = self._live(instance_id, call)
        kept = [each for each in devices(instance) if each["Ebs"]["VolumeId"] != volume_id]
        gone = next(each for each in devices(instance) if each not in kept)
        is_root = gone["DeviceName"] == instance.answer["RootDeviceName"]
        if is_root and instance.state != "stopped":
            raise translate.refusal("OperationNotPermitted", "Unable to detach root volume", call)
        if not dry_run:
            self._map(instance, kept)
            self._volumes[volume_id] = replace(volume, instance_id="")
            self._change(volume_id, Attachments=[], State="available")
        lose(lost)

    def set_deletion(self, region: str, instance_id: str, device: str, *, deletes: bool) -> None:
        """Note it at the device."""
        call = Call("ModifyInstanceAttribute", instance_id, region)
        lost = self._making("set_deletion", call, instance_id)
        instance = self._live(instance_id, call)
        mapped = devices(instance)
        found = [each for each in mapped if each["DeviceName"] == device]
        if not found:
            raise translate.refusal("InvalidInstanceAttributeValue", "No device", call)
        found[0]["Ebs"]["DeleteOnTermination"] = deletes
        self._map(instance, mapped)
        lose(lost)

    def tag_made(self, region: str, resource_ids: Sequence[str], tags: Mapping[str, str]) -> None:
        """Set the tags on volumes or instances."""
        call = Call("CreateTags", " and ".join(resource_ids), region)
        lost = self._making("tag_made", call, *resource_ids)
        for each in resource_ids:
            row = self._instances.get(each) or self._there(each, region, call)
            said = {tag["Key"]: tag["Value"] for tag in row.answer.get("Tags", [])}
            self.retag(each, {**said, **limits.tags(tags)})
        lose(lost)

    def delete_volume(self, region: str, volume_id: str) -> None:
        """Delete a volume that is not attached."""
        call = Call("DeleteVolume", volume_id, region)
        lost = self._making("delete_volume", call, volume_id)
        if self._there(volume_id, region, call).instance_id:
            raise translate.refusal("VolumeInUse", "it is attached", call)
        del self._volumes[volume_id]
        lose(lost)

    def initialization(
        self, region: str, volume_ids: Sequence[str]
    ) -> dict[str, Initialization | None]:
        """Return what `progress` says."""
        lost = self._making("initialization", Call("DescribeVolumeStatus", "", region), *volume_ids)
        lose(lost)
        usual = self.usual_progress
        there = [each for each in volume_ids if each in self._volumes]
        return {each: self.progress.get(each, usual) for each in there}

    def stop(self, region: str, instance_id: str, *, dry_run: bool = False) -> None:
        """Stop it at once."""
        self._turn("stop", "StopInstances", region, instance_id, "stopped", dry_run=dry_run)

    def start(self, region: str, instance_id: str) -> None:
        """Start it at once."""
        call = Call("StartInstances", instance_id, region)
        instance = self._live(instance_id, call)
        root = instance.answer["RootDeviceName"]
        if all(each["DeviceName"] != root for each in devices(instance)):
            raise translate.refusal("InvalidParameterValue", "no volume attached at root", call)
        self._turn("start", "StartInstances", region, instance_id, "running")

    def _turn(
        self,
        method: Method,
        action: str,
        region: str,
        instance_id: str,
        state: str,
        *,
        dry_run: bool = False,
    ) -> None:
        call = Call(action, instance_id, region)
        lost = self._making(method, call, instance_id)
        instance = self._live(instance_id, call)
        if not dry_run:
            answer = {**instance.answer, "State": {"Name": state}}
            self._instances[instance_id] = replace(instance, state=state, answer=answer)
        lose(lost)

    # Its own parts

    def _making(self, method: Method, call: Call, *ids: str) -> AwsError | None:
        lost = self._begin(PortCall(method, call.region, ids=ids))
        self._permit(call, call.action)
        return lost

    def _once(
        self,
        call: Call,
        token: str,
        order: object,
        lost: AwsError | None,
        make: Any,  # noqa: ANN401
    ) -> str:
        with self._lock:
            known = self._answers.get((call.action, token))
            if known is None:
                known = self._answers[call.action, token] = (order, make())
        if known[0] != order:
            raise translate.refusal("IdempotentParameterMismatch", "other parameters", call)
        lose(lost)
        return known[1]

    def _usable(self, region: str, snapshot_id: str, call: Call) -> None:
        found = self._snapshot(region, snapshot_id)
        if found is None:
            message = f"The snapshot '{snapshot_id}' does not exist."
            raise translate.refusal("InvalidSnapshot.NotFound", message, call)
        if found.state != "completed":
            message = f"Snapshot is in invalid state - {found.state}"
            raise translate.refusal("IncorrectState", message, call)

    def _there(self, volume_id: str, region: str, call: Call) -> Volume:
        found = self._volumes.get(volume_id)
        if found is None or found.region != region:
            message = f"The volume '{volume_id}' does not exist."
            raise translate.refusal("InvalidVolume.NotFound", message, call)
        return found

    def _live(self, instance_id: str, call: Call) -> Instance:
        found = self._instances.get(instance_id)
        if found is None or found.region != call.region:
            message = f"The instance ID '{instance_id}' does not exist"
            raise translate.refusal("InvalidInstanceID.NotFound", message, call)
        if found.state == "terminated":
            raise translate.refusal("IncorrectInstanceState", "it is terminated", call)
        return found

    def _change(self, volume_id: str, **said: object) -> Volume:
        found = self._volumes[volume_id]
        self._volumes[volume_id] = replace(found, answer={**found.answer, **said})
        return self._volumes[volume_id]

    def _hang(self, volume_id: str, instance_id: str, device: str) -> None:
        self._volumes[volume_id] = replace(self._volumes[volume_id], instance_id=instance_id)
        attachment = {"InstanceId": instance_id, "Device": device, "State": "attached"}
        self._change(volume_id, Attachments=[attachment], State="in-use")

    def _map(self, instance: Instance, devices: list[dict[str, Any]]) -> None:
        ids = tuple(str(each["Ebs"]["VolumeId"]) for each in devices)
        root = instance.answer["RootDeviceName"]
        roots = [each["Ebs"]["VolumeId"] for each in devices if each["DeviceName"] == root]
        self._instances[instance.instance_id] = replace(
            instance,
            answer={**instance.answer, "BlockDeviceMappings": devices},
            volume_ids=ids,
            root_volume_id=roots[0] if roots else "",
        )


def lose(lost: AwsError | None) -> None:
    if lost:
        raise lost


def devices(instance: Instance) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(json.dumps(instance.answer["BlockDeviceMappings"]))
    return found


def mapping(name: str, volume_id: str, *, deletes: bool) -> dict[str, Any]:
    return {"DeviceName": name, "Ebs": {"VolumeId": volume_id, "DeleteOnTermination": deletes}}


def zone(instance: Instance) -> str:
    return str(instance.answer["Placement"]["AvailabilityZone"])


def tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in limits.tags(tags).items()]
