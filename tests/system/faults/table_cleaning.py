"""What happens to old restore points when a process dies, or AWS fails, while they are being deleted.

Two runs are made; the policy keeps one restore point, so the first one goes. Once the fault has struck, it is gone
from AWS as demanded, nothing else is, and no call that deletes was carried out twice.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tests.ground import processes
from tests.system.faults import judge
from tests.system.faults.bed import WORKERS, Bed
from tests.system.faults.judge import Finding
from tests.system.faults.table import FINE, Expected, Fault, Strike

TURN_SECONDS = 150.0  # until the next tick has come and done it, on a busy machine
POLICY = {"retention": {"keep_last": 1}}
# By moment: the call in which the fault strikes, and whether AWS has done it by then.
CALLS = {
    "begun": ("DescribeImages", False),
    "marking": ("CreateTags", False),
    "deleting": ("DeleteSnapshot", False),
    "deleted": ("DeleteSnapshot", True),
}


def _moment(at: timedelta) -> str:
    return (datetime.now(tz=UTC) + at).strftime("%Y-%m-%d %H:%M:%S.%f")


def _make_one_go(bed: Bed, run: str) -> None:
    """Make a newer restore point, and let the notice of the first one be over."""
    bed.product.wait_for_end(run)
    newer = bed.product.start_run()
    bed.product.wait_for_end(newer)
    tagged = "SELECT count(*) FROM policies_run WHERE tags_due"
    bed.wait_until(lambda: bed.query(tagged)[0][0] == 0, "the tags are written")
    bed.query(
        'INSERT INTO policies_removal (run_id, why, "by", announced_at, goes_after, problem)'
        " VALUES (?, 'older than everything that the rules keep', '', ?, ?, '')",
        UUID(run).hex,
        _moment(timedelta(days=-2)),
        _moment(timedelta(days=-1)),
    )


def _kill(moment: str) -> Strike:
    action, deed = CALLS[moment]

    def strike(bed: Bed, run: str) -> None:
        bed.product.aws.fault(action, "slow", deed=deed)
        _make_one_go(bed, run)
        _wait(bed, lambda: _serving(bed, action), "the call is made")
        bed.kill(WORKERS)
        bed.product.aws.clear_faults()
        _minutes_pass(bed)
        _wait_for_the_end(bed, run)

    return strike


def _serving(bed: Bed, action: str) -> bool:
    return any(call.outcome == "serving" for call in bed.product.aws.calls(action))


def _fail(kind: str, times: int) -> Strike:
    def strike(bed: Bed, run: str) -> None:
        bed.product.aws.fault("DeleteSnapshot", kind, times=times)  # type: ignore[arg-type]
        _make_one_go(bed, run)
        _wait(bed, lambda: _problem(bed, run) or _ended(bed, run), "it has failed")
        _minutes_pass(bed)
        _wait_for_the_end(bed, run)

    return strike


def _minutes_pass(bed: Bed) -> None:
    """Let the lease and the pause after a failure be over."""
    bed.query("DELETE FROM policies_turn WHERE name LIKE 'clean-%'")
    bed.query("UPDATE policies_removal SET next_at = NULL")


def _problem(bed: Bed, run: str) -> bool:
    sql = "SELECT problem FROM policies_removal WHERE run_id = ?"
    return bool(bed.query(sql, UUID(run).hex)[0][0])


def _ended(bed: Bed, run: str) -> bool:
    sql = "SELECT count(*) FROM policies_removal WHERE run_id = ? AND ended_at IS NOT NULL"
    return bool(bed.query(sql, UUID(run).hex)[0][0])


def _wait_for_the_end(bed: Bed, run: str) -> None:
    _wait(bed, lambda: _ended(bed, run), "the restore point is deleted")


def _wait(bed: Bed, condition: Callable[[], bool], what: str) -> None:
    processes.wait_until(condition, seconds=TURN_SECONDS, what=what, pause=0.2)
    assert bed.product.process is not None


def _judge(bed: Bed, fault: Fault, moment: str, run: str) -> Finding:
    """Look at the one that goes, at all others, and at what AWS was asked."""
    shown = bed.product.show(run)
    finding = Finding(fault.name, moment, state=shown["state"], consistency=shown["consistency"])
    finding.before, finding.fired, finding.complete = 1, 1, 1
    finding.wrong += _wrongs(bed, run, shown)
    return finding


def _wrongs(bed: Bed, run: str, shown: dict[str, Any]) -> Iterator[str]:
    if judge.of(bed, run):
        yield "AWS still has snapshots of the run"
    states = {each["state"] for each in shown["snapshots"]}
    if states != {"deleted"}:
        yield f"its snapshots are shown as {states}"
    there = {snapshot.snapshot_id for snapshot in bed.product.aws.snapshots()}
    kept = "SELECT snapshot_id FROM policies_runsnapshot WHERE state = 'completed'"
    missing = {row[0] for row in bed.query(kept)} - there
    if missing:
        yield f"shown as there, and gone: {missing}"
    if not there:
        yield "nothing is left"
    left = "SELECT count(*) FROM policies_runsnapshot WHERE state = 'deleting'"
    if bed.query(left)[0][0]:
        yield "snapshots are left half deleted"
    done = [call for call in bed.product.aws.calls("DeleteSnapshot") if call.outcome == "ok"]
    asked = [call.parameters["SnapshotId"] for call in done]
    if len(asked) != len(set(asked)):
        yield f"deleted twice: {asked}"
    if not set(asked) <= {each["id"] for each in shown["snapshots"]}:
        yield f"something else was deleted: {asked}"


def _fault(name: str, moment: str, strike: Strike) -> Fault:
    at: dict[str, Expected] = {moment: FINE}
    return Fault(
        name,
        at,
        strike=strike,
        by_itself=True,
        policy=POLICY,
        is_quick=False,
        lasts=TURN_SECONDS,
        judge=_judge,
    )


FAULTS = (
    *(
        _fault(
            f"SIGKILL of the workers while old restore points go: {moment}",
            moment,
            _kill(moment),
        )
        for moment in CALLS
    ),
    _fault("AWS throttles the deletion", "deleting", _fail("throttle", 6)),
    _fault("answers of the deletion are lost", "deleted", _fail("lost_answer", 6)),
)
