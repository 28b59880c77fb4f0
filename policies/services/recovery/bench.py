"""One recovery at work, and how long AWS may not show what was made."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from n2wbackup.lib import clock, home
from policies.adapters.limits import RECOVERY_TAG, SERVER_TAG
from policies.domain.errors import RejectedError
from policies.models import Recovery, RecoveryResource, RecoveryStep
from policies.ports import Cloud, Instance, Volume
from policies.ports.making import Making

# AWS may not show for so long what it has just made.
UNSEEN = timedelta(minutes=5)
_GONE_STATES = frozenset({"deleting", "deleted", "terminated", "shutting-down"})


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


def attachment(volume: Volume) -> Mapping[str, Any]:
    rows = [row for row in volume.answer.get("Attachments", []) if row.get("State") != "detached"]
    return rows[0] if rows else {}


def is_fresh(step: RecoveryStep) -> bool:
    return step.begun_at is None or clock.now() - step.begun_at < UNSEEN


def may_be_unseen(bench: Bench, step: RecoveryStep) -> bool:
    """Tell whether AWS has made it so lately that it may exist although AWS does not show it."""
    if "of" not in step.params or step.told.get("seen"):
        return False
    maker = bench.recovery.steps.get(position=step.params["of"])
    made = bench.recovery.resources.filter(
        resource_id=maker.resource, fate=RecoveryResource.Fate.MADE
    )
    return is_fresh(maker) and made.exists()


def may_be_shown_late(step: RecoveryStep, code: str) -> bool:
    """Tell whether AWS has refused only because not all of its parts know yet what the recovery has made."""
    if not is_fresh(step) or "of" not in step.params:
        return False
    maker = step.recovery.steps.get(position=step.params["of"])
    return bool(maker.resource) and maker.resource.startswith(_UNKNOWN.get(code, "-"))


_UNKNOWN = {
    "InvalidVolume.NotFound": "vol-",
    "InvalidInstanceID.NotFound": "i-",
    "InvalidAMIID.NotFound": "ami-",
}


def refuse_an_attached_one(volume_id: str, volume: Volume) -> None:
    """Raise RejectedError if the volume hangs somewhere: it is somebody's by now."""
    if attachment(volume):
        message = (
            f"{volume_id}, which this recovery made, is attached to {attachment(volume).get('InstanceId')}: detach "
            "and delete it by hand if nobody needs it."
        )
        raise RejectedError(message)
