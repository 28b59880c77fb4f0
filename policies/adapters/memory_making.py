"""What recoveries make of an account's AWS in memory, for tests: the same answers and refusals as EC2.

tests/contract/test_making.py checks that. What takes AWS a moment is done at once here, except for the loading of
volumes, which `progress` tells.
"""

from dataclasses import replace

from n2wbackup.lib import clock
from policies.adapters import limits, translate
from policies.adapters.memory_volumes import MemoryVolumes, devices, lose, mapping, tags, zone
from policies.adapters.translate import Call
from policies.ports import Instance, Volume
from policies.ports.making import (
    ImageOrder,
    LaunchOrder,
    Made,
    RootOrder,
    RootTask,
)


class MemoryMaker(MemoryVolumes):
    """A `MemoryCloud` that is a `Making`, too. Each method can fail as `fail_next` says."""

    def end(self, region: str, instance_id: str) -> None:
        """End it, with the volumes that go with it."""
        call = Call("TerminateInstances", instance_id, region)
        lost = self._making("end", call, instance_id)
        instance = self._live(instance_id, call)
        for each in devices(instance):
            volume_id = each["Ebs"]["VolumeId"]
            if each["Ebs"].get("DeleteOnTermination"):
                del self._volumes[volume_id]
            else:
                self._volumes[volume_id] = replace(self._volumes[volume_id], instance_id="")
                self._change(volume_id, Attachments=[], State="available")
        self._instances[instance_id] = replace(instance, state="terminated", volume_ids=())
        lose(lost)

    def replace_root(self, order: RootOrder, *, dry_run: bool = False) -> str:
        """Replace it at once."""
        call = Call("CreateReplaceRootVolumeTask", order.instance_id, order.region)
        lost = self._making("replace_root", call, order.instance_id)
        instance = self._live(order.instance_id, call)
        self._usable(order.region, order.snapshot_id, call)
        if instance.state != "running":
            raise translate.refusal("IncorrectInstanceState", "it is not running", call)
        if dry_run:
            return ""
        return self._once(call, order.token, order, lost, lambda: self._replaced(order, instance))

    def _replaced(self, order: RootOrder, instance: Instance) -> str:
        root = instance.answer["RootDeviceName"]
        old = next(each for each in devices(instance) if each["DeviceName"] == root)
        old_id, deletes = old["Ebs"]["VolumeId"], old["Ebs"].get("DeleteOnTermination", True)
        made = self._add_volume(order.region, self._volumes[old_id].volume_type, "")
        self._change(made.volume_id, AvailabilityZone=zone(instance), SnapshotId=order.snapshot_id)
        self._volumes[old_id] = replace(self._volumes[old_id], instance_id="")
        self._change(old_id, Attachments=[], State="available")
        kept = [each for each in devices(instance) if each["DeviceName"] != root]
        self._map(instance, [mapping(root, made.volume_id, deletes=deletes), *kept])
        self._hang(made.volume_id, order.instance_id, root)
        task = self._new_id("replacevol")
        self._tasks[task] = RootTask(task, order.instance_id, "succeeded")
        return task

    def root_task(self, region: str, task_id: str) -> RootTask | None:
        """Return the task."""
        lose(self._making("root_task", Call("DescribeReplaceRootVolumeTasks", "", region)))
        return self._tasks.get(task_id)

    def register(self, order: ImageOrder, *, dry_run: bool = False) -> str:
        """Register an image that can be used at once."""
        call = Call("RegisterImage", order.name, order.region)
        lost = self._making("register", call, order.name)
        if any(each.name == order.name for _, each in self._images.values()):
            raise translate.refusal("InvalidAMIName.Duplicate", "already in use", call)
        for each in order.parameters.get("BlockDeviceMappings", []):
            self._usable(order.region, each["Ebs"]["SnapshotId"], call)
        if dry_run:
            return ""
        made = self._new_id("ami")
        self._images[made] = (order.region, order)
        lose(lost)
        return made

    def image_state(self, region: str, image_id: str) -> str:
        """Return available, or nothing."""
        lose(self._making("image_state", Call("DescribeImages", image_id, region), image_id))
        return "available" if self._images.get(image_id, ("",))[0] == region else ""

    def deregister(self, region: str, image_id: str) -> None:
        """Take it away."""
        call = Call("DeregisterImage", image_id, region)
        lost = self._making("deregister", call, image_id)
        if image_id not in self._images:
            raise translate.refusal("InvalidAMIID.NotFound", f"'[{image_id}]' does not exist", call)
        del self._images[image_id]
        lose(lost)

    def launch(self, order: LaunchOrder, *, dry_run: bool = False) -> str:
        """Start an instance that runs at once."""
        call = Call("RunInstances", order.image_id, order.region)
        lost = self._making("launch", call, order.image_id)
        if order.image_id not in self._images:
            message = f"The image id '[{order.image_id}]' does not exist"
            raise translate.refusal("InvalidAMIID.NotFound", message, call)
        if dry_run:
            return ""
        return self._once(call, order.token, order, lost, lambda: self._launched(order))

    def _launched(self, order: LaunchOrder) -> str:
        image, given = self._images[order.image_id][1].parameters, order.parameters
        mapped = image["BlockDeviceMappings"]
        made = super().add_instance(order.region, len(mapped))
        zone = given.get("Placement", {}).get("AvailabilityZone", f"{order.region}a")
        devices = []
        for each, volume_id in zip(mapped, made.volume_ids, strict=True):
            deletes = each["Ebs"].get("DeleteOnTermination", True)
            devices.append(mapping(each["DeviceName"], volume_id, deletes=deletes))
            snapshot = each["Ebs"]["SnapshotId"]
            self._change(
                volume_id,
                AvailabilityZone=zone,
                SnapshotId=snapshot,
                CreateTime=str(clock.now()),
                Tags=tags(order.ours),
            )
            self._hang(volume_id, made.instance_id, each["DeviceName"])
        answer = {
            "InstanceId": made.instance_id,
            "State": {"Name": "running"},
            "RootDeviceName": image["RootDeviceName"],
            "InstanceType": given.get("InstanceType", ""),
            "Placement": {"AvailabilityZone": zone},
            "Tags": tags({**order.tags, **order.ours}),
            "ClientToken": order.token,
            "BlockDeviceMappings": devices,
        }
        self._instances[made.instance_id] = replace(made, answer=answer)
        return made.instance_id

    def made(self, region: str, recovery: str) -> Made:
        """Return what bears the tag."""
        lose(self._making("made", Call("DescribeVolumes", "", region), recovery))
        rows: list[Volume | Instance] = [
            *(v for v in self._volumes.values() if v.region == region),
            *(
                i
                for i in self._instances.values()
                if i.region == region and i.state != "terminated"
            ),
        ]
        tag = {"Key": limits.RECOVERY_TAG, "Value": recovery}
        ours = [row for row in rows if tag in row.answer.get("Tags", [])]
        images = [
            key
            for key, (of, order) in self._images.items()
            if of == region
            and order.tags.get(limits.RECOVERY_TAG) == recovery
            and order.name == limits.image_name(recovery)
        ]
        return Made(
            tuple(row.volume_id for row in ours if isinstance(row, Volume)),
            tuple(images),
            tuple(row.instance_id for row in ours if isinstance(row, Instance)),
        )
