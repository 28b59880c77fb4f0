"""What the calls of a window have come to, as columns and rows; nothing is entered here."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from n2wbackup.lib import clock
from policies.models import RunSnapshot, RunTarget
from policies.ports import Snapshot
from policies.services.window import moments
from policies.services.window.volley import Fired
from scripts_admin.domain.phases import ThawBy
from scripts_admin.guard.journal import Journal


def last(fired: Sequence[Fired]) -> datetime | None:
    """Return when the last of the calls had its answer."""
    return moments.of(max((one.returned_at for one in fired), default=0.0) or None)


def judge(one: Fired, journal: Journal) -> RunTarget:
    """Return the target of a call with what the call has come to."""
    on_request = journal.thaw_by == ThawBy.WORKER and journal.thaw_boot is not None
    in_time = on_request and one.returned_boot <= (journal.thaw_boot or 0.0)
    target = one.shot.target
    target.state = RunTarget.State.FIRED if one.snapshots else RunTarget.State.REFUSED
    if one.lost:
        target.state = RunTarget.State.UNKNOWN
    target.reason = one.problem
    target.fired_at = moments.of(one.returned_at) if one.snapshots else None
    target.returned_before_thaw = in_time and bool(one.snapshots)
    return target


def columns(target: RunTarget) -> dict[str, Any]:
    """Return the columns of a target that its call decides."""
    names = ("state", "reason", "fired_at", "returned_before_thaw")
    return {name: getattr(target, name) for name in names}


def snapshots(target: RunTarget, snapshots: Sequence[Snapshot]) -> list[RunSnapshot]:
    now = clock.now()
    return [
        RunSnapshot(
            target=target, snapshot_id=each.snapshot_id, volume_id=each.volume_id, created_at=now
        )
        for each in snapshots
    ]


def lacks(target: RunTarget, snapshots: Sequence[Snapshot]) -> str:
    """Return a sentence if AWS made snapshots of some expected volumes and not of others, else ""."""
    missing = sorted(set(target.expected_volume_ids) - {each.volume_id for each in snapshots})
    if not (missing and snapshots):
        return ""
    return f"AWS created no snapshot of {', '.join(missing)}: the set is not whole."


def text(one: Fired) -> str:
    if one.problem:
        return f"{one.shot.target}: {one.problem}"
    return f"{one.shot.target}: {len(one.snapshots)} snapshots fired"
