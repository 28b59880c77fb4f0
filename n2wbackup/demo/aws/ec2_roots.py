"""EC2's replacement of root volumes.

AWS takes snapshots of the instance's present or former root volumes only ("same lineage"), of a running instance. The
codes of these refusals are not documented: they are guesses. The new volume gets the tags of the old one.
"""

import secrets
import time

from moto.ec2.models.instances import Instance

from n2wbackup.demo.aws import tagging
from n2wbackup.demo.aws.answers import ApiError
from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.ec2_snapshots import refuse_malformed_instance, required
from n2wbackup.demo.aws.ec2_volumes import made_of, usable
from n2wbackup.demo.aws.makings import RootTask
from n2wbackup.demo.aws.simulator import Simulator

_TYPE = "replace-root-volume-task"


def create_task(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Begin to replace the root volume of a running instance."""
    instance_id = required(call, "InstanceId")
    refuse_malformed_instance(instance_id)
    settle(simulator)
    with simulator.inventory.lock:
        instance = simulator.inventory.instance(call.region, instance_id)
        snapshot = usable(simulator, call, required(call, "SnapshotId"))
        tags = tagging.at_creation(call, _TYPE)
        token = (call.region, call.action, call.text("ClientToken"))
        if token not in simulator.makings.tokens:
            _refuse(simulator, instance, snapshot.source.volume_id)
        simulator.refuse_dry_run(call)

        def make() -> dict[str, object]:
            task = RootTask(
                f"replacevol-{secrets.token_hex(9)[:17]}",
                call.region,
                instance.id,
                snapshot.snapshot_id,
                time.monotonic(),
                simulator.options.root_task_seconds,
                tags,
            )
            simulator.makings.tasks[task.task_id] = task
            return {"replaceRootVolumeTask": _shown(task)}

        return simulator.makings.once(call, make)


def _refuse(simulator: Simulator, instance: Instance, source: str) -> None:
    state = simulator.makings.instance_state(instance.id, instance.state, instance.state_code)[0]
    if state != "running":
        message = f"The instance '{instance.id}' is not in the 'running' state."
        raise ApiError("IncorrectInstanceState", message)
    if any(t.instance_id == instance.id and not t.done for t in simulator.makings.tasks.values()):
        message = f"A root volume replacement task is already in progress for '{instance.id}'."
        raise ApiError("IncorrectState", message)
    if source not in _lineage(simulator, instance):
        message = "The snapshot is not of the same lineage as the root volume of the instance."
        raise ApiError("InvalidParameterCombination", message)


def _lineage(simulator: Simulator, instance: Instance) -> set[str]:
    """Return the instance's root volumes so far, and the volumes that these were restored from."""
    makings = simulator.makings
    root = instance.block_device_mapping.get(instance.root_device_name)
    found = set(makings.lineage.get(instance.id, ())) | ({str(root.volume_id)} if root else set())
    for each in list(found):
        while each in makings.origins and makings.origins[each] not in found:
            each = makings.origins[each]  # noqa: PLW2901 - the way back to the first volume
            found.add(each)
    return found


def settle(simulator: Simulator) -> None:
    """Exchange the volumes of the tasks that are due."""
    with simulator.inventory.lock:
        for task in simulator.makings.tasks.values():
            if not task.done and task.is_due():
                _exchange(simulator, task)


def _exchange(simulator: Simulator, task: RootTask) -> None:
    task.done = True
    backend = simulator.inventory.backend(task.region)
    instance = simulator.inventory.instance(task.region, task.instance_id)
    snapshot = simulator.snapshots.get(task.region, task.snapshot_id)
    device = str(instance.root_device_name)
    old = instance.block_device_mapping.get(device)
    if snapshot is None or old is None:
        return
    simulator.makings.lineage.setdefault(instance.id, set()).add(str(old.volume_id))
    before = simulator.inventory.volume(task.region, str(old.volume_id))
    tags = dict(simulator.inventory.tags(task.region, before.id))
    made = made_of(
        simulator,
        task.region,
        snapshot,
        str(instance.availability_zone),
        str(before.volume_type),
        (before.iops, before.throughput),
        "",
        tags,
    )
    backend.detach_volume(before.id, instance.id, device)
    backend.attach_volume(
        made.id, instance.id, device, delete_on_termination=bool(old.delete_on_termination)
    )


def describe_tasks(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Return the tasks with these ids, or all of the region."""
    settle(simulator)
    ids = call.values("ReplaceRootVolumeTaskId")
    tasks = simulator.makings.tasks
    for each in ids:
        if each not in tasks:
            message = f"The replace root volume task '{each}' does not exist."
            raise ApiError("InvalidReplaceRootVolumeTaskId.NotFound", message)
    simulator.refuse_dry_run(call)
    found = [t for t in tasks.values() if t.region == call.region and (not ids or t.task_id in ids)]
    return {"replaceRootVolumeTaskSet": [_shown(each) for each in found]}


def _shown(task: RootTask) -> dict[str, object]:
    return {
        "replaceRootVolumeTaskId": task.task_id,
        "instanceId": task.instance_id,
        "taskState": "succeeded" if task.done else "in-progress",
        "snapshotId": task.snapshot_id,
        "deleteReplacedRootVolume": False,
        "tagSet": tagging.rendered(task.tags),
    }
