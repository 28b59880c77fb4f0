"""What happens to a proof when one of its processes dies, AWS fails, or the room for it ends, at each of its steps.

Each proof starts a real Redis from the blocks of a snapshot, to level 3. A worker that dies is replaced, and the proof
passes. Whatever else dies, the proof says that it was not possible: never that the backup is good, nor that it is bad.
"""

import os
import signal
from collections.abc import Callable
from functools import partial

from tests.ground import image_parts
from tests.system.faults import points
from tests.system.faults.bed import Bed
from tests.system.faults.proven import OPENING, VERIFYING, Proving
from tests.system.faults.table import ends, struck

PASSED, NOT_POSSIBLE = ends("passed"), ends("not_possible")
LISTING, READING = "before ListSnapshotBlocks", "before GetSnapshotBlock"
BUDGET_SECONDS = 45.0  # for which a block is asked for again and again
HANG_SECONDS = 15.0
Way = Callable[[Bed, str], Proving]


_fault = partial(struck, bed="disk")


# Processes


def _worker(bed: Bed, moment: str) -> Proving:
    found = Proving(bed)
    found.come_to(moment)
    points.kill_worker(bed)
    return found


def _everything(bed: Bed, moment: str) -> Proving:
    found = Proving(bed)
    found.come_to(moment)
    bed.crash(bed.point)
    bed.product.aws.clear_faults()
    bed.restart()
    return found


def _part(part: str, number: signal.Signals = signal.SIGKILL) -> Way:
    def way(bed: Bed, moment: str) -> Proving:
        found = Proving(bed)
        found.come_to(moment)
        os.kill(found.family()[part], number)
        return found

    return way


def _database(bed: Bed, moment: str) -> Proving:
    found = Proving(bed)
    found.come_to(moment)
    os.kill(found.database(), signal.SIGKILL)
    return found


PROCESSES = (
    _fault(
        "SIGKILL of the worker that proves",
        dict.fromkeys((LISTING, READING, OPENING, VERIFYING), PASSED),
        _worker,
        quick=VERIFYING,
    ),
    _fault(
        "everything killed during a proof, then a start",
        dict.fromkeys((OPENING, VERIFYING), PASSED),
        _everything,
    ),
    *(
        _fault(
            f"SIGKILL of the image's {part}",
            dict.fromkeys((OPENING, VERIFYING), NOT_POSSIBLE),
            _part(part),
            quick=VERIFYING if part == "nbdkit" else "",
        )
        for part in image_parts.PARTS
    ),
    _fault(
        "SIGKILL of the database that was started from the snapshot",
        {VERIFYING: ends("failed|not_possible")},
        _database,
    ),
)


# AWS and the disk


def _failing(kind: str, times: int | None, seconds: float = 3600.0) -> Way:
    """Let AWS fail from the begin, or, while it is opened or verified, from then on."""

    def way(bed: Bed, moment: str) -> Proving:
        found = Proving(bed)
        if moment == OPENING:
            found.come_to(moment)
            action = "GetSnapshotBlock"
        else:
            action, _ = points.at(moment)
        bed.product.aws.fault(action, kind, times=times, seconds=seconds)  # type: ignore[arg-type]
        if not found.id:
            found.ask()
        return found

    return way


def _tag_refused(bed: Bed, _: str) -> Proving:
    found = Proving(bed)
    bed.product.aws.fault("CreateTags", "denied", times=2)
    found.ask()
    return found


def _snapshot_gone(bed: Bed, moment: str) -> Proving:
    """The bed is of no use afterwards: its restore point is gone."""
    found = Proving(bed)
    found.come_to(moment)
    mine = [s for s in bed.product.aws.snapshots() if s.tags.get("n2wbackup:run") == bed.point]
    found.goes |= {snapshot.snapshot_id for snapshot in mine}
    for snapshot in mine:
        bed.product.aws.delete_snapshot(snapshot.snapshot_id)
    bed.product.aws.clear_faults()
    return found


def _disk_full(bed: Bed, moment: str) -> Proving:
    """Fill the disk under the overlay to the last byte."""
    found = Proving(bed)
    found.come_to(moment)
    assert bed.mount is not None
    filler = bed.mount / "filler"
    bed.helpers.callback(filler.unlink, missing_ok=True)
    free = os.statvfs(bed.mount)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)
    return found


_BOTH = (LISTING, READING)
_READABLE = dict.fromkeys(_BOTH, PASSED)
OTHERS = (
    _fault("AWS throttles the blocks", _READABLE, _failing("throttle", 5)),
    _fault("AWS answers 500 for blocks", _READABLE, _failing("error_500", 3)),
    _fault("answers with blocks are lost", _READABLE, _failing("lost_answer", 3)),
    _fault("AWS hangs with a block", _READABLE, _failing("hang", 1), lasts=HANG_SECONDS),
    _fault("a block has other bytes once", {READING: PASSED}, _failing("wrong_bytes", 1)),
    _fault(
        "blocks have other bytes each time",
        {READING: ends("failed", "checksum")},
        _failing("wrong_bytes", None),
        lasts=BUDGET_SECONDS,
    ),
    _fault(
        "AWS throttles the blocks for good",
        dict.fromkeys((READING, OPENING), NOT_POSSIBLE),
        _failing("throttle", None),
        lasts=BUDGET_SECONDS,
    ),
    _fault(
        "AWS refuses the blocks",
        {
            LISTING: ends("not_possible", "ebs:ListSnapshotBlocks"),
            READING: ends("not_possible", "ebs:GetSnapshotBlock"),
            OPENING: ends("not_possible", "ebs:GetSnapshotBlock"),
        },
        _failing("denied", None),
    ),
    _fault("AWS refuses the tag of a proof", {"before CreateTags": PASSED}, _tag_refused),
    _fault(
        "the snapshot is deleted while it is proven",
        dict.fromkeys((LISTING, READING, OPENING), ends("failed|not_possible", "snap-")),
        _snapshot_gone,
        spares_server=False,
    ),
    _fault(
        "the disk under the overlay is full",
        dict.fromkeys((OPENING, VERIFYING), NOT_POSSIBLE),
        _disk_full,
        bed="disk, little room",
    ),
)
FAULTS = (*PROCESSES, *OTHERS)
