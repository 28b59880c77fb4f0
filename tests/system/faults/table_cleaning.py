"""What happens to old restore points when a process dies, or AWS fails, while they are being deleted.

Two restore points are made; the policy keeps one, so the older one goes. Once the fault has struck, its snapshots are
gone from AWS as demanded, nothing else is, no call that deletes was carried out twice, and the rows say so.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from uuid import UUID

from tests.system.faults import points
from tests.system.faults.bed import Bed
from tests.system.faults.judge import Finding
from tests.system.faults.table import Expected, Fault, ends, struck

POLICY = {"retention": {"keep_last": 1}}
# By state of the snapshots' rows.
ENDS = {
    frozenset({"deleted"}): "gone",
    frozenset({"completed"}): "stays",
    frozenset({"deleted", "completed"}): "partly gone",
}
GONE, STAYS = ends("gone"), ends("stays")
# The intent is written by the first of these, and the tag by the second.
CALLS = (
    *("before DescribeImages", "before CreateTags", "after CreateTags"),
    *("before DeleteSnapshot", "after DeleteSnapshot"),
)
HANG_SECONDS = 35.0
MORE_THAN_THE_SDK = 4


class Deleting:
    """A restore point that goes, and a newer one that stays."""

    def __init__(self, bed: Bed) -> None:
        """Make them, and let the notice of the older one be over."""
        self.bed, product = bed, bed.product
        self.goes, self.stays = product.start_run(), ""
        product.wait_for_end(self.goes)
        self.stays = product.start_run()
        product.wait_for_end(self.stays)
        tagged = "SELECT count(*) FROM policies_run WHERE tags_due"
        bed.wait_until(lambda: bed.query(tagged)[0][0] == 0, "the tags are written")
        product.aws.forget_calls()
        self.before = points.standing(bed)
        self.snapshots = self._of(self.goes)
        self.struck = 0.0

    def _of(self, run: str) -> list[str]:
        found = self.bed.product.aws.snapshots()
        return [s.snapshot_id for s in found if s.tags.get("n2wbackup:run") == run]

    def begin(self) -> None:
        """Let it go now."""
        self.struck = time.monotonic()
        self.bed.query(
            'INSERT INTO policies_removal (run_id, why, "by", announced_at, goes_after, problem)'
            " VALUES (?, 'older than everything that the rules keep', '', ?, ?, '')",
            UUID(self.goes).hex,
            points.earlier(days=2),
            points.earlier(days=1),
        )

    def strike_at(self, moment: str, strike: Callable[[Bed, str], None]) -> None:
        """Begin, and strike in the moment; the lease of whoever died is over then."""
        points.hold_up(self.bed, moment)
        self.begin()
        self.until(lambda: points.is_held(self.bed, moment), moment)
        self.struck = time.monotonic()
        strike(self.bed, moment)
        self.minutes_pass()

    def minutes_pass(self) -> None:
        """Let the lease of a dead process, and the pause after a failure, be over."""
        self.bed.query("DELETE FROM policies_turn WHERE name LIKE 'clean-%'")
        self.bed.query("UPDATE policies_removal SET next_at = NULL WHERE ended_at IS NULL")

    def until(self, condition: Callable[[], object], what: str) -> None:
        points.until(self.bed, condition, what, "clean")

    def has_problem(self) -> bool:
        """Tell whether its row says why it does not go on."""
        sql = "SELECT count(*) FROM policies_removal WHERE run_id = ? AND problem <> ''"
        return bool(self.bed.query(sql, UUID(self.goes).hex)[0][0])

    def is_over(self) -> bool:
        """Tell whether it has ended: it is deleted, or its removal was taken back."""
        sql = "SELECT count(*) FROM policies_removal WHERE run_id = ? AND ended_at IS NULL"
        return not self.bed.query(sql, UUID(self.goes).hex)[0][0]

    def judged(self, fault: Fault, moment: str) -> Finding:
        """Wait for the end, and look at the one that goes, at all others, and at what AWS was asked."""
        expected, found = fault.at[moment], Finding(fault.name, moment)
        self.until(self.is_over, "the end of the removal")
        found.seconds = time.monotonic() - self.struck
        shown = self.bed.product.show(self.goes)
        states = frozenset(each["state"] for each in shown["snapshots"])
        found.state = ENDS.get(states, f"{sorted(states)}")
        if found.state not in expected.state.split("|"):
            found.wrong.append(f"it is {found.state} and not {expected.state}")
        found.wrong += self._untrue(shown["snapshots"], found)
        found.wrong += self._why(expected, found.state)
        return found

    def _untrue(self, rows: list[dict[str, str]], found: Finding) -> Iterator[str]:
        now = points.standing(self.bed)
        for row in rows:
            if (row["id"] in now.snapshots) != (row["state"] == "completed"):
                yield f"{row['id']} is called {row['state']}"
        lost = self.before.everything - now.everything
        if not lost <= set(self.snapshots):
            yield f"something else is gone: {sorted(lost - set(self.snapshots))}"
        found.stands = len(lost)
        done = [c for c in self.bed.product.aws.calls("DeleteSnapshot") if c.outcome == "ok"]
        asked = [call.parameters["SnapshotId"] for call in done]
        found.twice = len(asked) - len(set(asked))
        if found.twice:
            yield f"deleted twice: {asked}"
        half = "SELECT count(*) FROM policies_runsnapshot WHERE state = 'deleting'"
        found.left = int(self.bed.query(half)[0][0])
        if found.left:
            yield "snapshots are left half deleted"
        if len(self._of(self.stays)) != len(self.snapshots):
            yield "the newer restore point is not whole any more"

    def _why(self, expected: Expected, state: str) -> Iterator[str]:
        """Check that what stays is a restore point, and says why it stays; what is gone is none."""
        sql = "SELECT restore_point FROM policies_run WHERE id = ?"
        is_point = bool(self.bed.query(sql, UUID(self.goes).hex)[0][0])
        if is_point != (state != "gone"):
            yield f"it is {state}, and {'' if is_point else 'no '}restore point"
        sql = "SELECT reason FROM policies_hold WHERE run_id = ? AND released_at IS NULL"
        reasons = [str(reason) for (reason,) in self.bed.query(sql, UUID(self.goes).hex)]
        if expected.reason and not any(expected.reason in reason for reason in reasons):
            yield f"nothing says {expected.reason!r}: {reasons}"


Way = Callable[[Bed, str], Deleting]


_fault = partial(struck, bed="restore point", policy=POLICY)


def _killed(strike: Callable[[Bed, str], None]) -> Way:
    def way(bed: Bed, moment: str) -> Deleting:
        found = Deleting(bed)
        found.strike_at(moment, strike)
        return found

    return way


def _failing(kind: str, times: int, seconds: float = 3600.0) -> Way:
    def way(bed: Bed, moment: str) -> Deleting:
        found = Deleting(bed)
        action, deed = points.at(moment)
        bed.product.aws.fault(action, kind, times=times, seconds=seconds, deed=deed)  # type: ignore[arg-type]
        found.begin()
        found.until(lambda: found.has_problem() or found.is_over(), "it has failed, or not")
        found.minutes_pass()
        return found

    return way


def _second_refused(bed: Bed, _: str) -> Deleting:
    found = Deleting(bed)
    match = {"SnapshotId": found.snapshots[-1]}
    bed.product.aws.fault("DeleteSnapshot", "denied", times=None, match=match)
    found.begin()
    return found


def _image_of_somebody(bed: Bed, _: str) -> Deleting:
    """Let somebody have registered an image of one of its snapshots."""
    found = Deleting(bed)
    bed.product.aws.add_image([found.snapshots[0]])
    found.before = points.standing(bed)
    found.begin()
    return found


def _deleted_outside(bed: Bed, moment: str) -> Deleting:
    found = Deleting(bed)

    def delete(bed: Bed, _: str) -> None:
        bed.product.aws.delete_snapshot(found.snapshots[0])
        bed.product.aws.clear_faults()

    found.strike_at(moment, delete)
    return found


_EACH = ("before DescribeImages", "before CreateTags", "before DeleteSnapshot")
FAULTS = (
    _fault(
        "SIGKILL of the worker that deletes",
        dict.fromkeys(CALLS, GONE),
        _killed(points.kill_worker),
    ),
    _fault(
        "everything killed while it deletes, then a start",
        dict.fromkeys(("before DeleteSnapshot", "after DeleteSnapshot"), GONE),
        _killed(points.kill_and_start),
    ),
    _fault(
        "AWS throttles the deletion",
        dict.fromkeys(_EACH, GONE),
        _failing("throttle", MORE_THAN_THE_SDK),
    ),
    _fault(
        "AWS answers the deletion with 500",
        dict.fromkeys(_EACH, GONE),
        _failing("error_500", MORE_THAN_THE_SDK),
    ),
    _fault(
        "answers to the deletion are lost",
        {"after DeleteSnapshot": GONE},
        _failing("lost_answer", MORE_THAN_THE_SDK),
    ),
    _fault(
        "AWS hangs while it deletes",
        {"after DeleteSnapshot": GONE},
        _failing("hang", 1, HANG_SECONDS),
        lasts=HANG_SECONDS,
    ),
    _fault(
        "AWS refuses the deletion",
        {"before DeleteSnapshot": ends("stays", "DeleteSnapshot")},
        _failing("denied", 1),
    ),
    _fault(
        "AWS refuses to delete the second snapshot",
        {"before DeleteSnapshot": ends("partly gone", "DeleteSnapshot")},
        _second_refused,
    ),
    _fault(
        "an image of somebody's needs a snapshot that goes",
        {"before DescribeImages": ends("stays", "AMI")},
        _image_of_somebody,
    ),
    _fault(
        "somebody deletes a snapshot that is being deleted",
        dict.fromkeys(_EACH, GONE),
        _deleted_outside,
    ),
)
