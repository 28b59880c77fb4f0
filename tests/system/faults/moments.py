"""The moments of a run at which a fault can strike. Each is reached by a gate or a call that is held."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.system.faults.bed import WORKERS, Bed

HELD_SECONDS = 3600.0
FREEZER = "n2wbackup worker freeze"


@dataclass(frozen=True)
class Moment:
    """`arm` before the run is started, `reach` returns in the moment, `release` lets the run go on."""

    name: str
    arm: Callable[[Bed], None]
    reach: Callable[[Bed, str], None]
    release: Callable[[Bed], None]


def _gate(phase: str) -> Moment:
    def reach(bed: Bed, _: str) -> None:
        bed.product.wait_for_mark(phase, "start", seconds=60)

    return Moment(phase, lambda bed: bed.close(phase), reach, lambda bed: bed.open(phase))


def _hold(action: str) -> Callable[[Bed], None]:
    return lambda bed: bed.product.aws.fault(action, "slow", seconds=HELD_SECONDS)


def _let_calls_go(bed: Bed) -> None:
    bed.product.aws.clear_faults()


def _reach_preparing(bed: Bed, _: str) -> None:
    bed.wait_for_call("DescribeInstances", "serving")


def _reach_armed(bed: Bed, _: str) -> None:
    bed.wait_until((bed.gates / "armed.reached").exists, "the server's own before")


def _reach_between(bed: Bed, run: str) -> None:
    """Stop the worker, so that it cannot hear of before's end, and let before end."""
    bed.product.wait_for_mark("before", "start", seconds=60)
    bed.hold(FREEZER)
    bed.open("before")
    bed.wait_until(lambda: '"ended"' in bed.journal(run), "before has ended")


def _reach_call(bed: Bed, _: str) -> None:
    bed.wait_for_call("CreateSnapshots", "serving")


def _reach_returned(bed: Bed, _: str) -> None:
    """Stop the worker, so that it cannot say that its call has returned, and let the call return."""
    bed.wait_for_call("CreateSnapshots", "serving")
    bed.hold(FREEZER)
    bed.product.aws.clear_faults()
    bed.wait_for_call("CreateSnapshots", "ok")


def _arm_waiting(bed: Bed) -> None:
    bed.product.aws.configure(pending_seconds=HELD_SECONDS)


def _reach_waiting(bed: Bed, run: str) -> None:
    bed.wait_for_state(run, "waiting")


def _settle(bed: Bed) -> None:
    bed.product.aws.settle_snapshots()


PREPARING = Moment("preparing", _hold("DescribeInstances"), _reach_preparing, _let_calls_go)
ARMED = Moment("armed", lambda bed: bed.close("armed"), _reach_armed, lambda bed: bed.open("armed"))
BEFORE = _gate("before")
BETWEEN = Moment("between", lambda bed: bed.close("before"), _reach_between, Bed.let_go)
CALL = Moment("call", _hold("CreateSnapshots"), _reach_call, _let_calls_go)
RETURNED = Moment("returned", _hold("CreateSnapshots"), _reach_returned, Bed.let_go)
AFTER = _gate("after")
WAITING = Moment("waiting", _arm_waiting, _reach_waiting, _settle)
COMPLETE = _gate("complete")

ALL = (PREPARING, BEFORE, BETWEEN, CALL, RETURNED, AFTER, WAITING, COMPLETE)
# Only a run with scripts on an instance has it, so a fault that strikes at all moments does not strike there.
BY_NAME = {moment.name: moment for moment in (ARMED, *ALL)}
TITLES = {
    "preparing": "preparing",
    "armed": "armed there",
    "before": "during before",
    "between": "between before and fire",
    "call": "during the call",
    "returned": "after the call",
    "after": "during after",
    "waiting": "waiting",
    "complete": "during complete",
}
__all__ = ["ALL", "BY_NAME", "TITLES", "WORKERS", "Moment"]
