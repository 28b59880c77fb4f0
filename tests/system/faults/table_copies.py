"""What happens to a recovery from a copy in another region when a process dies, AWS fails, or the copy goes away.

The volume is made where the copy is. Everything else is judged as of a recovery from the snapshots themselves.
"""

from collections.abc import Callable
from functools import partial

from tests.system.faults import points
from tests.system.faults.bed import Bed
from tests.system.faults.beds import FAR
from tests.system.faults.recovered import Kind, Recovering
from tests.system.faults.table import ends, struck

COPY = Kind("a volume from a copy", ("--volume", "{data}", "--from", FAR), region=FAR)
BEFORE, AFTER = "before CreateVolume", "after CreateVolume"
DONE = ends("done")
Way = Callable[[Bed, str], Recovering]
_fault = partial(struck, bed="copies")


def _killed(strike: Callable[[Bed, str], None]) -> Way:
    def way(bed: Bed, moment: str) -> Recovering:
        found = Recovering(bed, COPY)
        found.strike_at(moment, strike)
        return found

    return way


def _killed_in_undo(bed: Bed, moment: str) -> Recovering:
    found = Recovering(bed, COPY)
    found.strike_at_undo(moment, points.kill_worker)
    return found


def _failing(kind: str, times: int) -> Way:
    def way(bed: Bed, moment: str) -> Recovering:
        action, deed = points.at(moment)
        found = Recovering(bed, COPY)
        bed.product.aws.fault(action, kind, times=times, deed=deed)  # type: ignore[arg-type]
        found.ask()
        return found

    return way


def _copy_gone(bed: Bed, moment: str) -> Recovering:
    """The bed is of no use afterwards: its copies are gone."""
    found = Recovering(bed, COPY)
    copies = [s.snapshot_id for s in bed.product.aws.snapshots() if "n2wbackup:copy" in s.tags]
    found.goes |= set(copies)

    def delete(bed: Bed, _: str) -> None:
        for snapshot_id in copies:
            bed.product.aws.delete_snapshot(snapshot_id, FAR)
        bed.product.aws.clear_faults()

    found.strike_at(moment, delete)
    return found


FAULTS = (
    _fault(
        "SIGKILL of the worker that restores from a copy",
        dict.fromkeys((BEFORE, AFTER), DONE),
        _killed(points.kill_worker),
        quick=AFTER,
    ),
    _fault(
        "everything killed while it restores from a copy, then a start",
        {AFTER: DONE},
        _killed(points.kill_and_start),
    ),
    _fault(
        "SIGKILL of the worker that takes a recovery from a copy back",
        {"after DeleteVolume": ends("undone")},
        _killed_in_undo,
    ),
    _fault("AWS throttles a recovery from a copy", {BEFORE: DONE}, _failing("throttle", 4)),
    _fault("AWS refuses a recovery from a copy", {BEFORE: ends("failed")}, _failing("denied", 1)),
    _fault("AWS's answer to it is lost", {AFTER: DONE}, _failing("lost_answer", 4)),
    _fault(
        "the copy is deleted while a volume is restored from it",
        {BEFORE: ends("failed", "snap-")},
        _copy_gone,
        spares_server=False,
    ),
)
