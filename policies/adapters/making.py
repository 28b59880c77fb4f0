"""EC2 as the `Making` of policies.ports: what recoveries make, and what they take away again."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from policies.adapters import limits, translate
from policies.adapters.clients import Clients
from policies.adapters.translate import Call
from policies.domain.errors import NotFoundError, RejectedError
from policies.ports.making import (
    ImageOrder,
    Initialization,
    LaunchOrder,
    Made,
    RootOrder,
    RootTask,
    VolumeOrder,
)

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

_LIVE = [
    "pending",
    "running",
    "stopping",
    "stopped",
]  # an instance that is ending is as good as gone
_SIZES = {"volume_type": "VolumeType", "iops": "Iops", "throughput": "Throughput"}
_OTHERS = {"kms_key_id": "KmsKeyId", "rate": "VolumeInitializationRate"}


class Ec2Making:
    """One account's EC2; thread-safe. The SDK repeats calls by itself: each bears a token, or changes nothing twice."""

    def __init__(self, clients: Clients) -> None:
        """Keep the clients; AWS is not called yet."""
        self._clients = clients

    def create_volume(self, order: VolumeOrder, *, dry_run: bool = False) -> str:
        """Make a volume; return its id."""
        wanted = {
            name: getattr(order, field)
            for field, name in {**_SIZES, **_OTHERS}.items()
            if getattr(order, field)
        }
        if order.kms_key_id:
            wanted["Encrypted"] = True
        answer: Any = {}
        with self._asked("CreateVolume", order.snapshot_id, order.region, dry_run=dry_run) as ec2:
            answer = ec2.create_volume(
                SnapshotId=order.snapshot_id,
                AvailabilityZone=order.zone,
                ClientToken=order.token,
                TagSpecifications=_specified({"volume": order.tags}),
                DryRun=dry_run,
                **wanted,
            )
        return str(answer.get("VolumeId", ""))

    def attach(
        self, region: str, volume_id: str, instance_id: str, device: str, *, dry_run: bool = False
    ) -> None:
        """Attach a volume."""
        with self._asked("AttachVolume", volume_id, region, dry_run=dry_run) as ec2:
            ec2.attach_volume(
                VolumeId=volume_id, InstanceId=instance_id, Device=device, DryRun=dry_run
            )

    def detach(
        self, region: str, volume_id: str, instance_id: str, *, dry_run: bool = False
    ) -> None:
        """Detach a volume from this instance."""
        with self._asked("DetachVolume", volume_id, region, dry_run=dry_run) as ec2:
            ec2.detach_volume(VolumeId=volume_id, InstanceId=instance_id, DryRun=dry_run)

    def set_deletion(self, region: str, instance_id: str, device: str, *, deletes: bool) -> None:
        """Let the end of the instance delete the volume at the device, or not."""
        with self._asked("ModifyInstanceAttribute", instance_id, region) as ec2:
            ec2.modify_instance_attribute(
                InstanceId=instance_id,
                BlockDeviceMappings=[
                    {"DeviceName": device, "Ebs": {"DeleteOnTermination": deletes}}
                ],
            )

    def tag_made(self, region: str, resource_ids: Sequence[str], tags: Mapping[str, str]) -> None:
        """Set the tags on volumes or instances."""
        with self._asked("CreateTags", " and ".join(resource_ids), region) as ec2:
            ec2.create_tags(Resources=list(resource_ids), Tags=limits.rows(tags))

    def delete_volume(self, region: str, volume_id: str) -> None:
        """Delete a volume that is not attached."""
        with self._asked("DeleteVolume", volume_id, region) as ec2:
            ec2.delete_volume(VolumeId=volume_id)

    def initialization(
        self, region: str, volume_ids: Sequence[str]
    ) -> dict[str, Initialization | None]:
        """Return how far each volume that exists is loaded; None: AWS does not say (yet)."""
        found: dict[str, Initialization | None] = {}
        if not volume_ids:
            return found
        filters = [{"Name": "volume-id", "Values": list(volume_ids)}]
        # Not by id: AWS would refuse the whole question for one volume that is gone.
        with self._asked("DescribeVolumes", " and ".join(volume_ids), region) as ec2:
            there = ec2.describe_volumes(Filters=filters).get("Volumes", [])
        ids = [row["VolumeId"] for row in there]
        if not ids:
            return found
        with self._asked("DescribeVolumeStatus", " and ".join(ids), region) as ec2:
            rows = ec2.describe_volume_status(VolumeIds=ids).get("VolumeStatuses", [])
        said = {row["VolumeId"]: row.get("InitializationStatusDetails") for row in rows}
        return {each: _initialization(said.get(each)) for each in ids}

    def stop(self, region: str, instance_id: str, *, dry_run: bool = False) -> None:
        """Stop an instance; one that is stopped stays so."""
        with self._asked("StopInstances", instance_id, region, dry_run=dry_run) as ec2:
            ec2.stop_instances(InstanceIds=[instance_id], DryRun=dry_run)

    def start(self, region: str, instance_id: str) -> None:
        """Start an instance; one that runs goes on."""
        with self._asked("StartInstances", instance_id, region) as ec2:
            ec2.start_instances(InstanceIds=[instance_id])

    def end(self, region: str, instance_id: str) -> None:
        """End an instance for good."""
        with self._asked("TerminateInstances", instance_id, region) as ec2:
            ec2.terminate_instances(InstanceIds=[instance_id])

    def replace_root(self, order: RootOrder, *, dry_run: bool = False) -> str:
        """Replace the root volume of a running instance; return the id of the task."""
        action = "CreateReplaceRootVolumeTask"
        answer: Any = {}
        with self._asked(action, order.instance_id, order.region, dry_run=dry_run) as ec2:
            answer = ec2.create_replace_root_volume_task(
                InstanceId=order.instance_id,
                SnapshotId=order.snapshot_id,
                ClientToken=order.token,
                DeleteReplacedRootVolume=False,
                TagSpecifications=_specified({"replace-root-volume-task": order.tags}),
                DryRun=dry_run,
            )
        return str(answer.get("ReplaceRootVolumeTask", {}).get("ReplaceRootVolumeTaskId", ""))

    def root_task(self, region: str, task_id: str) -> RootTask | None:
        """Return the task; None if AWS does not know it."""
        try:
            with self._asked("DescribeReplaceRootVolumeTasks", task_id, region) as ec2:
                answer = ec2.describe_replace_root_volume_tasks(ReplaceRootVolumeTaskIds=[task_id])
                rows = answer.get("ReplaceRootVolumeTasks", [])
        except NotFoundError:
            return None
        return (
            RootTask(task_id, rows[0].get("InstanceId", ""), rows[0].get("TaskState", "pending"))
            if rows
            else None
        )

    def register(self, order: ImageOrder, *, dry_run: bool = False) -> str:
        """Register an image; return its id."""
        answer: Any = {}
        with self._asked("RegisterImage", order.name, order.region, dry_run=dry_run) as ec2:
            answer = ec2.register_image(
                Name=order.name,
                TagSpecifications=_specified({"image": order.tags}),
                DryRun=dry_run,
                **order.parameters,
            )
        return str(answer.get("ImageId", ""))

    def image_state(self, region: str, image_id: str) -> str:
        """Return AWS's word for it; empty: there is no such image."""
        with self._asked("DescribeImages", image_id, region) as ec2:
            filters = [{"Name": "image-id", "Values": [image_id]}]
            rows = ec2.describe_images(Owners=["self"], Filters=filters).get("Images", [])
        return str(rows[0].get("State", "pending")) if rows else ""

    def deregister(self, region: str, image_id: str) -> None:
        """Take an image away; its snapshots stay."""
        with self._asked("DeregisterImage", image_id, region) as ec2:
            ec2.deregister_image(ImageId=image_id)

    def launch(self, order: LaunchOrder, *, dry_run: bool = False) -> str:
        """Start an instance; return its id."""
        tags = {"instance": {**order.tags, **order.ours}, "volume": order.ours}
        answer: Any = {}
        with self._asked("RunInstances", order.image_id, order.region, dry_run=dry_run) as ec2:
            answer = ec2.run_instances(
                ImageId=order.image_id,
                MinCount=1,
                MaxCount=1,
                ClientToken=order.token,
                TagSpecifications=_specified(tags),
                DryRun=dry_run,
                **order.parameters,
            )
        return str(answer["Instances"][0]["InstanceId"]) if answer else ""

    def made(self, region: str, recovery: str) -> Made:
        """Return everything that bears the recovery's tag and exists; images only of its name, too."""
        tag = {"Name": f"tag:{limits.RECOVERY_TAG}", "Values": [recovery]}
        live = {"Name": "instance-state-name", "Values": _LIVE}
        with self._asked("DescribeVolumes", f"recovery {recovery}", region) as ec2:
            volumes = ec2.describe_volumes(Filters=[tag]).get("Volumes", [])
        named = {"Name": "name", "Values": [limits.image_name(recovery)]}
        with self._asked("DescribeImages", f"recovery {recovery}", region) as ec2:
            answer = ec2.describe_images(Owners=["self"], Filters=[tag, named])
            images = answer.get("Images", [])
        with self._asked("DescribeInstances", f"recovery {recovery}", region) as ec2:
            answer = ec2.describe_instances(Filters=[tag, live]).get("Reservations", [])
        instances = [row for of in answer for row in of.get("Instances", [])]
        return Made(
            tuple(row["VolumeId"] for row in volumes),
            tuple(row["ImageId"] for row in images),
            tuple(row["InstanceId"] for row in instances),
        )

    @contextmanager
    def _asked(
        self, action: str, subject: str, region: str, *, dry_run: bool = False
    ) -> Iterator[Any]:
        """Give the client for a call; translate what the SDK raises. A dry run that AWS permits raises nothing."""
        call = Call(action, subject, region)
        try:
            client: EC2Client = self._clients.reading(call)
            yield client
        except translate.RAISED as error:
            failure = translate.failure(error, call)
            if dry_run and failure.code == "DryRunOperation":
                return
            raise failure from error
        else:
            if dry_run:
                raise RejectedError(
                    f"{call} failed: the endpoint ignored DryRun and may have done it; look for what it made, and "
                    "use an endpoint that supports DryRun."
                )


def _initialization(said: Any) -> Initialization | None:  # noqa: ANN401 - a part of AWS's answer
    if not said or said.get("Progress") is None:
        return None
    seconds = said.get("EstimatedTimeToCompleteInSeconds")
    return Initialization(int(said["Progress"]), None if seconds is None else int(seconds))


def _specified(tags: Mapping[str, Mapping[str, str]]) -> list[Any]:
    return [{"ResourceType": kind, "Tags": limits.rows(of)} for kind, of in tags.items() if of]
