"""How far AWS has loaded the volumes of a recovery, and when they are as fast as any others."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from n2wbackup.lib import clock
from policies.domain.recovery import warmth
from policies.models import RecoveryResource
from policies.services.recovery import history
from policies.services.recovery.bench import Bench

# AWS says nothing of volumes that were never loaded from a snapshot, and in some regions of none.
SILENT = timedelta(hours=1)
_UNKNOWN = (
    "AWS has said nothing about the loading of its volumes for an hour: they can be used, and may be "
    "slow at first."
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the look has found; `full_speed_at`: of the slowest volume, None if nobody can say."""

    is_loaded: bool = False
    is_gone: bool = False
    full_speed_at: datetime | None = None
    waiting_for: str = ""
    reason: str = ""


def look(bench: Bench) -> Loaded:
    """Ask AWS, and enter each volume's progress."""
    recovery, now = bench.recovery, clock.now()
    rows = list(
        recovery.resources.filter(fate=RecoveryResource.Fate.MADE).exclude(from_snapshot="")
    )
    said = bench.making.initialization(bench.region, [row.resource_id for row in rows])
    there = [row for row in rows if row.resource_id in said]
    for row in rows:
        # AWS may not show for a while what it has just made.
        if row not in there and now - row.made_at > timedelta(minutes=5):
            history.fate(recovery, row.resource_id, RecoveryResource.Fate.GONE)
    if not there:
        return Loaded(is_gone=all(now - row.made_at > timedelta(minutes=5) for row in rows))
    for row in there:
        found = said[row.resource_id]
        if found is None:
            continue
        row.progress = found.progress
        row.full_speed_at = warmth.full_speed_at(found.progress, row.made_at, now, found.seconds)
        row.save(update_fields=["progress", "full_speed_at"])
    if all((row.progress or 0) >= warmth.COMPLETE for row in there):
        return Loaded(is_loaded=True, full_speed_at=now)
    unsaid = [row for row in there if row.progress is None]
    if unsaid and recovery.made_at and now - recovery.made_at > SILENT:
        return Loaded(is_loaded=len(unsaid) == len(there), reason=_UNKNOWN)
    times = [row.full_speed_at for row in there]
    slowest = max((each for each in times if each), default=None) if all(times) else None
    waiting = "AWS has not said yet how far the volumes are loaded." if unsaid else ""
    return Loaded(full_speed_at=slowest, waiting_for=waiting)
