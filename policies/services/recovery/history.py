"""What a recovery's rows say: its events, what it made, and what became of that."""

from datetime import datetime

from n2wbackup.lib import clock
from policies.models import Recovery, RecoveryEvent, RecoveryResource, RecoveryStep


def event(recovery: Recovery, text: str, at: datetime | None = None) -> None:
    """Add a line to the history, in the state in which the recovery is."""
    RecoveryEvent.objects.create(
        recovery=recovery, at=at or clock.now(), state=recovery.state, text=text
    )


def made(step: RecoveryStep, resource_id: str, from_snapshot: str = "", device: str = "") -> None:
    """Enter what the step has made, as soon as AWS has told its id."""
    RecoveryStep.objects.filter(pk=step.pk).update(resource=resource_id)
    step.resource = resource_id
    resource(step.recovery, resource_id, from_snapshot, device)


def resource(
    recovery: Recovery, resource_id: str, from_snapshot: str = "", device: str = ""
) -> None:
    """Enter what the recovery has made; nothing changes if it is known."""
    columns = {"from_snapshot": from_snapshot, "device": device, "made_at": clock.now()}
    _, is_new = RecoveryResource.objects.get_or_create(
        recovery=recovery, resource_id=resource_id, defaults=columns
    )
    if is_new:
        source = f" from {from_snapshot}" if from_snapshot else ""
        event(recovery, f"AWS has made {resource_id}{source}.")


def told(step: RecoveryStep, **said: str) -> None:
    """Keep what AWS said, for a later look."""
    step.told = {**step.told, **said}
    RecoveryStep.objects.filter(pk=step.pk).update(told=step.told)


def fate(
    recovery: Recovery,
    resource_id: str,
    of: RecoveryResource.Fate = RecoveryResource.Fate.DELETED,
) -> None:
    """Enter that what the recovery made is no more; an id that nobody made is no mistake."""
    rows = recovery.resources.filter(resource_id=resource_id, fate=RecoveryResource.Fate.MADE)
    if rows.update(fate=of, full_speed_at=None):
        event(recovery, f"{resource_id} is {of}.")
