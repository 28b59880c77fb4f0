"""What happens to a run when AWS fails. The moment is the one in which the call is made."""

import time

from tests.system.faults.bed import Bed
from tests.system.faults.table import FINE, Expected, Fault, Strike

NO_WINDOW = Expected("", "failed", "none", fires=0, afters=0)
NOT_MADE = Expected("1", "failed", "none", fires=0)
NOBODY_KNOWS = Expected("1", "failed", "none", fires=0, unknown_answer=True)
FOUND = Expected("1", "partial", "crash", reason="found by their tag")
HALF = Expected("1", "partial", "crash")
HANG_SECONDS = 3600.0
# No window is begun with credentials that end sooner than two minutes after it must be over.
SHORT_FREEZE_SECONDS = 15
CREDENTIALS_SECONDS = 160.0
SHORT_SCRIPTS = {"timeout_seconds": {"before": 5, "after": 60, "complete": 60}}
ACTIONS = {
    "preparing": "DescribeInstances",
    "call": "CreateSnapshots",
    "waiting": "DescribeSnapshots",
    "complete": "CreateTags",
}


def _fails(kind: str, times: int | None = None) -> Strike:
    """Return a function that lets the moment's call fail so often; None: always."""

    def prepare(bed: Bed, moment: str) -> None:
        bed.product.aws.fault(ACTIONS[moment], kind, times=times, seconds=HANG_SECONDS)  # type: ignore[arg-type]

    return prepare


def _settle_half(bed: Bed, run: str) -> None:
    """Let one snapshot of the set fail, and the other one be completed."""
    first, second = _pending(bed, run)
    bed.product.aws.settle_snapshots("error", [first])
    bed.product.aws.settle_snapshots("completed", [second])


def _lose_half(bed: Bed, run: str) -> None:
    """Let one snapshot vanish, and five minutes go by as soon as that was seen."""
    first, second = _pending(bed, run)
    bed.product.aws.delete_snapshot(first)
    bed.product.aws.settle_snapshots("completed", [second])
    bed.wait_until(lambda: bed.absences() > 0, "the snapshot is missed")
    bed.absences_age()


def _short_credentials(bed: Bed, _: str) -> None:
    bed.product.aws.configure(role_seconds=CREDENTIALS_SECONDS)


def _outlive_credentials(bed: Bed, _: str) -> None:
    """Let the run's credentials expire, and their renewal fail at first."""
    bed.product.aws.fault("AssumeRole", "error_503", times=2)
    time.sleep(CREDENTIALS_SECONDS)


def _pending(bed: Bed, run: str) -> list[str]:
    found = bed.product.aws.snapshots()
    return [s.snapshot_id for s in found if s.tags.get("n2wbackup:run") == run]


def _fault(name: str, kind: str, at: dict[str, Expected], times: int | None = None) -> Fault:
    return Fault(name, at, prepare=_fails(kind, times), by_itself=True)


FAULTS = (
    _fault(
        "AWS throttles twice",
        "throttle",
        {"preparing": FINE, "call": FINE, "waiting": FINE, "complete": FINE},
        times=2,
    ),
    _fault("AWS throttles for good", "throttle", {"call": NOT_MADE}),
    _fault("AWS answers 503 once", "error_503", {"call": NOBODY_KNOWS, "waiting": FINE}, times=1),
    _fault("AWS answers 500 once", "error_500", {"call": NOBODY_KNOWS, "waiting": FINE}, times=1),
    _fault("AWS refuses", "denied", {"preparing": NO_WINDOW, "call": NOT_MADE}),
    _fault("AWS refuses twice while it is polled", "denied", {"waiting": FINE}, times=2),
    _fault("AWS refuses the tags", "denied", {"complete": FINE}),
    _fault("AWS hangs", "hang", {"call": NOBODY_KNOWS, "waiting": FINE}, times=1),
    _fault("AWS's answer is lost after the deed", "lost_answer", {"call": FOUND}, times=1),
    _fault(
        "all snapshots end in error",
        "snapshot_error",
        {"call": Expected("1", "failed", "none", fires=1)},
        times=1,
    ),
    Fault(
        "the credentials end between fire and poll, and are not renewed at once",
        {"waiting": FINE},
        bed="role",
        prepare=_short_credentials,
        strike=_outlive_credentials,
        policy={"max_freeze_seconds": SHORT_FREEZE_SECONDS, "scripts": SHORT_SCRIPTS},
        lasts=CREDENTIALS_SECONDS,
    ),
    Fault("one snapshot of the set ends in error", {"waiting": HALF}, strike=_settle_half),
    Fault("one snapshot is gone while it is pending", {"waiting": HALF}, strike=_lose_half),
)
