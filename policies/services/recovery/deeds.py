"""The deeds of a recovery's steps. Each looks first whether it is done already, so it may be begun any number of times.

A deed returns True once it is done, and False while AWS is still at it. It raises what AWS refuses.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from n2wbackup.lib import clock, home
from policies.adapters.limits import RECOVERY_TAG, SERVER_TAG
from policies.domain.errors import NotFoundError, RejectedError
from policies.domain.recovery import aws_words
from policies.domain.recovery.steps import REPLACED_BY, Deed, StepState
from policies.models import Recovery, RecoveryStep
from policies.ports import Cloud, Instance, Volume
from policies.ports.making import ImageOrder, LaunchOrder, Making, RootOrder, VolumeOrder
from policies.services.recovery import history

# AWS may not show for so long what it has just made.
UNSEEN = timedelta(minutes=5)
# AWS remembers tokens for a day. Later the same order would make another thing.
TOKEN = timedelta(hours=20)
_GONE_STATES = frozenset({"deleting", "deleted", "terminated", "shutting-down"})
_NO_LONGER = "no longer exists"


class Bench:
    """One recovery at work: its row, its AWS, and what its earlier steps have made."""

    def __init__(self, recovery: Recovery, cloud: Cloud, making: Making) -> None:
        """Keep them; AWS is not called yet."""
        self.recovery = recovery
        self.cloud = cloud
        self.making = making
        self.region = recovery.region

    @property
    def ours(self) -> dict[str, str]:
        """Return the tags of everything that this recovery makes."""
        return {SERVER_TAG: home.server_id(), RECOVERY_TAG: str(self.recovery.pk)}

    def token(self, step: RecoveryStep) -> str:
        """Return the step's own token."""
        return f"{self.recovery.pk}-{step.position}"

    def made_by(self, step: RecoveryStep) -> str:
        """Return what the step names: its own volume, or what an earlier step has made. Empty: nothing was made."""
        if "of" not in step.params:
            return str(step.params.get("volume", ""))
        return self.recovery.steps.get(position=step.params["of"]).resource

    def volume(self, volume_id: str) -> Volume | None:
        """Return the volume as it is now; None: AWS does not have it."""
        found = self.cloud.volumes(self.region, [volume_id]).get(volume_id) if volume_id else None
        return None if found and found.answer.get("State") in _GONE_STATES else found

    def instance(self, instance_id: str) -> Instance | None:
        found = self.cloud.instances(self.region, [instance_id]).get(instance_id)
        return None if found and found.state in _GONE_STATES else found


def _is_fresh(step: RecoveryStep) -> bool:
    return step.begun_at is None or clock.now() - step.begun_at < UNSEEN


def _refuse_an_old_token(step: RecoveryStep) -> None:
    if step.begun_at and clock.now() - step.begun_at > TOKEN:
        message = (
            f"{step.deed.capitalize()} was begun at {step.begun_at:%Y-%m-%d %H:%M} UTC, and nobody knows whether AWS "
            "did it: it is not asked again after so long. Start a new recovery."
        )
        raise RejectedError(message)


def _create(bench: Bench, step: RecoveryStep) -> bool:
    params = step.params
    if not step.resource:
        _refuse_an_old_token(step)
        order = VolumeOrder(
            bench.region,
            params["snapshot"],
            params["zone"],
            bench.token(step),
            {**params.get("tags", {}), **bench.ours},
            params.get("type", ""),
            params.get("iops", 0),
            params.get("throughput", 0),
            params.get("kms", ""),
            params.get("rate", 0),
        )
        history.made(step, bench.making.create_volume(order), params["snapshot"])
    found = bench.volume(step.resource)
    if found is None:
        return _wait_or_gone(step, step.resource)
    state = found.answer.get("State", "creating")
    if state == "error":
        message = f"AWS could not create {step.resource} from {params['snapshot']}: look at it in AWS's console."
        raise RejectedError(message)
    return state in {"available", "in-use"}


def _wait_or_gone(step: RecoveryStep, resource: str) -> bool:
    if _is_fresh(step):
        return False
    raise NotFoundError(f"{resource}, which this recovery made, {_NO_LONGER}: somebody deleted it.")


def _attachment(volume: Volume) -> Mapping[str, Any]:
    rows = [row for row in volume.answer.get("Attachments", []) if row.get("State") != "detached"]
    return rows[0] if rows else {}


def _refuse_a_gone_instance(bench: Bench, instance_id: str) -> Instance:
    """AWS says of one that has ended what it says of one that is busy, so it would be asked again and again."""
    found = bench.instance(instance_id)
    if found is None:
        raise NotFoundError(f"The instance {instance_id} {_NO_LONGER}.")
    return found


def _attach(bench: Bench, step: RecoveryStep) -> bool:
    volume_id, wanted = bench.made_by(step), step.params["instance"]
    found = bench.volume(volume_id)
    if found is None:
        raise NotFoundError(f"{volume_id or 'The volume'} {_NO_LONGER}, so it is not attached.")
    now = _attachment(found)
    if now and now.get("InstanceId") != wanted:
        message = f"{volume_id} is attached to {now.get('InstanceId')} now: detach it there first."
        raise RejectedError(message)
    if now:
        return bool(now.get("State", "attached") == "attached")
    _refuse_a_gone_instance(bench, wanted)
    try:
        bench.making.attach(bench.region, volume_id, wanted, step.params["device"])
    except RejectedError as error:
        # An answer was lost, and the SDK has asked again: the next look tells.
        if error.code != "VolumeInUse":
            raise
    return False


def _detach(bench: Bench, step: RecoveryStep) -> bool:
    volume_id, wanted = bench.made_by(step), step.params["instance"]
    found = bench.volume(volume_id)
    if found is None:
        if step.takes_back:
            return True
        raise NotFoundError(f"{volume_id} {_NO_LONGER}, so nothing is put in its place.")
    now = _attachment(found)
    if not now:
        return bool(found.answer.get("State", "available") == "available")
    if now.get("InstanceId") != wanted:
        if step.takes_back:
            return True
        message = (
            f"{volume_id} is attached to {now.get('InstanceId')} now, and no longer to {wanted}."
        )
        raise RejectedError(message)
    if now.get("State", "attached") == "attached":
        bench.making.detach(bench.region, volume_id, wanted)
    return False


def _set_deletion(bench: Bench, step: RecoveryStep) -> bool:
    params = step.params
    _refuse_a_gone_instance(bench, params["instance"])
    bench.making.set_deletion(
        bench.region, params["instance"], params["device"], deletes=params["deletes"]
    )
    return True


def _tag(bench: Bench, step: RecoveryStep) -> bool:
    tags = dict(step.params["tags"])
    if "by" in step.params:
        tags[REPLACED_BY] = bench.recovery.steps.get(position=step.params["by"]).resource
    if step.params.get("ours"):
        tags |= bench.ours
    volume_id = bench.made_by(step)
    if volume_id and tags:
        bench.making.tag_made(bench.region, [volume_id], tags)
    return True


def _tag_volumes(bench: Bench, step: RecoveryStep) -> bool:
    instance = bench.instance(bench.made_by(step))
    rows = instance.answer.get("BlockDeviceMappings", []) if instance else []
    for row in rows:
        tags = step.params["tags"].get(row["DeviceName"])
        if tags:
            bench.making.tag_made(bench.region, [row["Ebs"]["VolumeId"]], tags)
    return True


def _delete(bench: Bench, step: RecoveryStep) -> bool:
    volume_id = bench.made_by(step)
    found = bench.volume(volume_id)
    if found is None:
        history.fate(bench.recovery, volume_id)
        return True
    _refuse_an_attached_one(volume_id, found)
    bench.making.delete_volume(bench.region, volume_id)
    history.fate(bench.recovery, volume_id)
    return True


def _refuse_an_attached_one(volume_id: str, volume: Volume) -> None:
    if _attachment(volume):
        message = (
            f"{volume_id}, which this recovery made, is attached to {_attachment(volume).get('InstanceId')}: detach "
            "and delete it by hand if nobody needs it."
        )
        raise RejectedError(message)


def _stop(bench: Bench, step: RecoveryStep) -> bool:
    return _turned(bench, step, "stopped", {"stopping"}, bench.making.stop)


def _start(bench: Bench, step: RecoveryStep) -> bool:
    return _turned(bench, step, "running", {"pending"}, bench.making.start)


def _turned(
    bench: Bench, step: RecoveryStep, wanted: str, way: set[str], turn: Callable[[str, str], None]
) -> bool:
    instance_id = step.params["instance"]
    found = _refuse_a_gone_instance(bench, instance_id)
    if found.state == wanted:
        return True
    if found.state in aws_words.TURNING or found.state in way:
        return False
    turn(bench.region, instance_id)
    return False


def _end(bench: Bench, step: RecoveryStep) -> bool:
    instance_id = bench.made_by(step)
    if not instance_id or bench.instance(instance_id) is None:
        history.fate(bench.recovery, instance_id)
        return True
    bench.making.end(bench.region, instance_id)
    return False


def _replace_root(bench: Bench, step: RecoveryStep) -> bool:
    params = step.params
    _refuse_a_gone_instance(bench, params["instance"])
    if not step.told.get("task"):
        _refuse_an_old_token(step)
        order = RootOrder(
            bench.region, params["instance"], params["snapshot"], bench.token(step), bench.ours
        )
        history.told(step, task=bench.making.replace_root(order))
    task = bench.making.root_task(bench.region, step.told["task"])
    if task is None:
        return _wait_or_gone(step, step.told["task"])
    if task.state in aws_words.BROKEN_TASKS:
        end = " Its root volume is detached." if task.state == "failed-detached" else ""
        message = (
            f"AWS could not replace the root volume of {params['instance']} ({task.state}).{end}"
        )
        raise RejectedError(message)
    if task.state != aws_words.DONE_TASK:
        return False
    instance = bench.instance(params["instance"])
    rows = instance.answer.get("BlockDeviceMappings", []) if instance else []
    new = [r["Ebs"]["VolumeId"] for r in rows if r["DeviceName"] == params["device"]]
    if not new or new[0] == params["volume"]:
        return _wait_or_gone(step, "The new root volume")
    history.made(step, new[0], params["snapshot"], params["device"])
    return True


def _register(bench: Bench, step: RecoveryStep) -> bool:
    if not step.resource:
        order = ImageOrder(
            bench.region, f"n2wbackup-{bench.recovery.pk}", bench.ours, step.params["parameters"]
        )
        try:
            image_id = bench.making.register(order)
        except RejectedError as error:
            if error.code != "InvalidAMIName.Duplicate":
                raise
            # The name is this recovery's own: an answer was lost.
            images = bench.making.made(bench.region, str(bench.recovery.pk)).images
            if not images:
                return _wait_or_gone(step, "The image")
            image_id = images[0]
        history.made(step, image_id)
    state = bench.making.image_state(bench.region, step.resource)
    if state in aws_words.BROKEN_IMAGES:
        raise RejectedError(f"AWS could not register an image of the snapshots ({state}).")
    return state == "available" or (not state and _wait_or_gone(step, step.resource))


def _launch(bench: Bench, step: RecoveryStep) -> bool:
    if not step.resource:
        _refuse_an_old_token(step)
        order = LaunchOrder(
            bench.region,
            bench.made_by(step),
            bench.token(step),
            step.params["tags"],
            bench.ours,
            step.params["parameters"],
        )
        history.made(step, bench.making.launch(order))
    found = bench.instance(step.resource)
    if found is None:
        return _wait_or_gone(step, step.resource)
    if found.state != "running":
        if found.state in aws_words.DOWN:
            reason = (found.answer.get("StateReason") or {}).get("Message", "AWS gives no reason")
            raise RejectedError(f'{step.resource} did not start: AWS says "{reason}".')
        return False
    rows = {row["Ebs"]["VolumeId"]: row for row in found.answer.get("BlockDeviceMappings", [])}
    for volume_id, said in bench.cloud.volumes(bench.region, list(rows)).items():
        source = str(said.answer.get("SnapshotId", ""))
        history.resource(bench.recovery, volume_id, source, rows[volume_id]["DeviceName"])
    return True


def _deregister(bench: Bench, step: RecoveryStep) -> bool:
    image_id = bench.made_by(step)
    if image_id:
        try:
            bench.making.deregister(bench.region, image_id)
        except NotFoundError:
            pass  # somebody, or this server before it died, has done it
        except RejectedError as error:
            if error.code != "InvalidAMIID.Unavailable":
                raise
        history.fate(bench.recovery, image_id)
    return True


def _sweep(bench: Bench, step: RecoveryStep) -> bool:
    """Take away what bears the recovery's tag and no step knows: an answer was lost, and the recovery taken back."""
    found = bench.making.made(bench.region, str(bench.recovery.pk))
    for image_id in found.images:
        bench.making.deregister(bench.region, image_id)
        history.fate(bench.recovery, image_id)
    for instance_id in found.instances:
        bench.making.end(bench.region, instance_id)
        history.fate(bench.recovery, instance_id)
    known = {each: bench.volume(each) for each in found.volumes}
    left = {each: volume for each, volume in known.items() if volume is not None}
    for volume_id, volume in left.items():
        if not _attachment(volume):
            bench.making.delete_volume(bench.region, volume_id)
            history.fate(bench.recovery, volume_id)
    if not left and not found.images and not found.instances:
        _enter_what_went_along(bench)
        # What AWS has made without an answer may be shown late.
        return bool(step.told.get("found")) or not _is_unsure(bench)
    history.told(step, found=", ".join((*found.images, *found.instances, *left)))
    if not found.instances:  # those of an instance that ends are detached soon
        for volume_id, volume in left.items():
            _refuse_an_attached_one(volume_id, volume)
    return False


def _enter_what_went_along(bench: Bench) -> None:
    """Volumes that an instance has taken along at its end are no more."""
    rows = bench.recovery.resources.filter(fate="made", resource_id__startswith="vol-")
    ids = list(rows.values_list("resource_id", flat=True))
    there = bench.cloud.volumes(bench.region, ids) if ids else {}
    for each in ids:
        if each not in there:
            history.fate(bench.recovery, each)


def _is_unsure(bench: Bench) -> bool:
    """Tell whether AWS may still show something that a step has begun to make and never got the answer of."""
    silent = bench.recovery.steps.filter(
        takes_back=False, resource="", begun_at__gt=clock.now() - UNSEEN, deed__in=_MAKES
    )
    return any(row.state == StepState.SKIPPED or row.told.get("lost") for row in silent)


_MAKES = [Deed.CREATE, Deed.REGISTER, Deed.LAUNCH]
DEEDS: Mapping[Deed, Callable[[Bench, RecoveryStep], bool]] = {
    Deed.CREATE: _create,
    Deed.ATTACH: _attach,
    Deed.DETACH: _detach,
    Deed.SET_DELETION: _set_deletion,
    Deed.TAG: _tag,
    Deed.TAG_VOLUMES: _tag_volumes,
    Deed.DELETE: _delete,
    Deed.STOP: _stop,
    Deed.START: _start,
    Deed.END: _end,
    Deed.ROOT: _replace_root,
    Deed.REGISTER: _register,
    Deed.LAUNCH: _launch,
    Deed.DEREGISTER: _deregister,
    Deed.SWEEP: _sweep,
}
