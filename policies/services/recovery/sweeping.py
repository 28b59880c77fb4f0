"""What a recovery may have made without an answer is looked for, and taken away, before it ends."""

from datetime import datetime, timedelta

from n2wbackup.lib import clock
from policies.domain.recovery.steps import Deed, StepState
from policies.models import Recovery, RecoveryStep
from policies.ports import Volume
from policies.services.recovery import history
from policies.services.recovery.bench import UNSEEN, Bench, attachment, refuse_an_attached_one

CLOCKS_DIFFER = timedelta(minutes=10)  # AWS's and ours


def sweep(bench: Bench, step: RecoveryStep) -> bool:
    """Take away what bears the recovery's tag and no step knows: an answer was lost, and the recovery taken back.

    Whoever may tag in the account can write that tag on anything. So nothing goes that bears no other sign of being
    made by this recovery: the name of an image, the token of an instance, the snapshot and the age of a volume.
    """
    found = bench.making.made(bench.region, str(bench.recovery.pk))
    instances = [each for each in found.instances if _is_launched_here(bench, each)]
    left = {each: volume for each in found.volumes if (volume := _made_here(bench, each))}
    for image_id in found.images:
        bench.making.deregister(bench.region, image_id)
        history.fate(bench.recovery, image_id)
    for instance_id in instances:
        bench.making.end(bench.region, instance_id)
        history.fate(bench.recovery, instance_id)
    for volume_id, volume in left.items():
        if not attachment(volume):
            bench.making.delete_volume(bench.region, volume_id)
            history.fate(bench.recovery, volume_id)
    if not left and not found.images and not instances:
        _enter_what_went_along(bench)
        # What AWS has made without an answer may be shown late.
        return bool(step.told.get("found")) or not _is_unsure(bench)
    history.told(step, found=", ".join((*found.images, *instances, *left)))
    if not instances:  # those of an instance that ends are detached soon
        for volume_id, volume in left.items():
            refuse_an_attached_one(volume_id, volume)
    return False


def _is_launched_here(bench: Bench, instance_id: str) -> bool:
    found = bench.instance(instance_id)
    token = str(found.answer.get("ClientToken", "")) if found else ""
    return token.startswith(f"{bench.recovery.pk}-")


def _made_here(bench: Bench, volume_id: str) -> Volume | None:
    """Return the volume if it exists, and is of one of the recovery's snapshots and no older than the recovery."""
    found = bench.volume(volume_id)
    if found is None or found.answer.get("SnapshotId") not in _snapshots(bench.recovery):
        return None
    said = str(found.answer.get("CreateTime", ""))
    oldest = bench.recovery.asked_at - CLOCKS_DIFFER
    return None if said and datetime.fromisoformat(said) < oldest else found


def _snapshots(recovery: Recovery) -> set[str]:
    used = set[str]()
    for params in recovery.steps.values_list("params", flat=True):
        mapped = params.get("parameters", {}).get("BlockDeviceMappings", [])
        used |= {
            params.get("snapshot", ""),
            *(one.get("Ebs", {}).get("SnapshotId", "") for one in mapped),
        }
    return used - {""}


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
