"""The deeds of a recovery's steps. Each looks first whether it is done already, so it may be begun any number of times.

A deed returns True once it is done, and False while AWS is still at it. It raises what AWS refuses.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta

from n2wbackup.lib import clock
from policies.adapters.limits import image_name
from policies.domain.errors import NotFoundError, RejectedError
from policies.domain.recovery import aws_words
from policies.domain.recovery.steps import REPLACED_BY, Deed
from policies.models import RecoveryStep
from policies.ports import Instance
from policies.ports.making import ImageOrder, LaunchOrder, RootOrder, VolumeOrder
from policies.services.recovery import history, sweeping
from policies.services.recovery.bench import (
    Bench,
    attachment,
    is_fresh,
    may_be_unseen,
    refuse_an_attached_one,
)

# AWS remembers tokens for a day. Later the same order would make another thing.
TOKEN = timedelta(hours=20)
_IN_USE = "VolumeInUse"
_NO_LONGER = "no longer exists"


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
    if is_fresh(step):
        return False
    raise NotFoundError(f"{resource}, which this recovery made, {_NO_LONGER}: somebody deleted it.")


def _refuse_a_gone_instance(bench: Bench, instance_id: str) -> Instance:
    """AWS says of one that has ended what it says of one that is busy, so it would be asked again and again."""
    found = bench.instance(instance_id)
    if found is None:
        raise NotFoundError(f"The instance {instance_id} {_NO_LONGER}.")
    return found


def _attach(bench: Bench, step: RecoveryStep) -> bool:
    volume_id, wanted = bench.made_by(step), step.params["instance"]
    found = bench.volume(volume_id)
    if found is None and "of" in step.params and is_fresh(step):
        return False
    if found is None:
        raise NotFoundError(f"{volume_id or 'The volume'} {_NO_LONGER}, so it is not attached.")
    now = attachment(found)
    if now and now.get("InstanceId") != wanted:
        message = f"{volume_id} is attached to {now.get('InstanceId')} now: detach it there first."
        raise RejectedError(message)
    if now:
        return bool(now.get("State", "attached") == "attached")
    _refuse_a_gone_instance(bench, wanted)
    try:
        bench.making.attach(bench.region, volume_id, wanted, step.params["device"])
    except RejectedError as error:
        if (
            error.code != _IN_USE
        ):  # an answer was lost, and the SDK has asked again: the next look tells
            raise
    return False


def _detach(bench: Bench, step: RecoveryStep) -> bool:
    volume_id, wanted = bench.made_by(step), step.params["instance"]
    found = bench.volume(volume_id)
    if found is None:
        if step.takes_back:
            return True
        raise NotFoundError(f"{volume_id} {_NO_LONGER}, so nothing is put in its place.")
    now = attachment(found)
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
        if may_be_unseen(bench, step):
            return False
        history.fate(bench.recovery, volume_id)
        return True
    refuse_an_attached_one(volume_id, found)
    history.told(step, seen="yes")  # as in `_end`
    bench.making.delete_volume(bench.region, volume_id)
    history.fate(bench.recovery, volume_id)
    return True


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
        if instance_id and may_be_unseen(bench, step):
            return False
        history.fate(bench.recovery, instance_id)
        return True
    history.told(step, seen="yes")  # from now on, what is not there is gone
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
            bench.region, image_name(str(bench.recovery.pk)), bench.ours, step.params["parameters"]
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
    if not image_id:
        return True
    if step.takes_back and may_be_unseen(bench, step):
        if not bench.making.image_state(bench.region, image_id):
            return False
        history.told(step, seen="yes")  # as in `_end`
    try:
        bench.making.deregister(bench.region, image_id)
    except NotFoundError:
        pass  # somebody, or this server before it died, has done it
    except RejectedError as error:
        if error.code != "InvalidAMIID.Unavailable":
            raise
    history.fate(bench.recovery, image_id)
    return True


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
    Deed.SWEEP: sweeping.sweep,
}
