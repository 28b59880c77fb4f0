"""What happens to a run with scripts on an instance when the network between is cut, both ways or one way."""

import time

from tests.system.faults.bed import END_SECONDS, Bed
from tests.system.faults.table import FINE, Expected, Fault, Strike
from tests.system.faults.table_processes import AUTOMATIC

BY_ITSELF = "thawed by itself"
# What the instance did alone: its snapshots are worth less, and the run says so.
ALONE = Expected("0", "partial", "crash", reason=BY_ITSELF)
CUT = Expected("0", "partial", "crash", afters=2, reason=BY_ITSELF)
# Nothing ran there, so nothing was to be thawed.
NOT_THERE = Expected("", "partial", "crash", afters=0, befores=0)

# Shorter than what ends a connection (5 s without an answer), so that what was said meanwhile arrives after all.
SHORT_SECONDS = 1.5
BEFORE_GO_SECONDS = 1.4
LATE_SECONDS = 4.0  # go counts for two
SILENCE_SECONDS = 11.0  # promised: ten, and what a tick may be late
# The deadline comes before the silence, if the window has been open for five seconds already.
OPEN_SECONDS = 5.0
SOON: dict[str, object] = {
    "max_freeze_seconds": 12,
    "scripts": {"timeout_seconds": {"before": 2, "after": 60, "complete": 60}},
}
IN_TIME = dict.fromkeys(("before", "call", "returned", "after"), FINE)
# It may be let go in time or not: if not, nothing runs there, and no after is needed.
PERHAPS = Expected("1|", "succeeded|partial", "application|crash", "", afters=0)
# The worker said so, and the snapshots lie in the window: what is heard in a second session counts.
HEARD_LATER = Expected("1", "succeeded|partial", "application|crash", "")
LONG = {
    "armed": NOT_THERE,
    "before": CUT,
    "call": ALONE,
    "after": HEARD_LATER,
}


def _both(bed: Bed, _: str) -> None:
    bed.cut()


def _both_when_open_for_long(bed: Bed, _: str) -> None:
    time.sleep(OPEN_SECONDS)
    bed.cut()


def _towards(bed: Bed, _: str) -> None:
    bed.cut(back=False)


def _back(bed: Bed, _: str) -> None:
    bed.cut(towards=False)


def _heal_after(seconds: float) -> Strike:
    def recover(bed: Bed, _: str) -> None:
        time.sleep(seconds)
        bed.heal()

    return recover


def _until_thawed_there(cut: Strike) -> Strike:
    """Return a strike that ends when the instance has thawed by itself, or has closed its gates."""

    def strike(bed: Bed, run: str) -> None:
        cut(bed, run)
        began = bed.since
        if not bed.product.marks("before", "start"):
            bed.wait_until(lambda: not bed.there(run), "the gates there are closed")
        elif not bed.product.marks("after", "start"):
            bed.product.wait_for_mark("after", "start", seconds=END_SECONDS)
        else:
            bed.wait_until(lambda: '"gone"' in bed.journal(run), "the connection is given up")
        bed.since = began

    return strike


def _heal(bed: Bed, _: str) -> None:
    bed.heal()


def _heal_once_thawed_unheard(bed: Bed, run: str) -> None:
    """Heal when after has done its work, and nobody has heard of it."""
    bed.product.wait_for_mark("after", "end", seconds=END_SECONDS)
    bed.wait_until(lambda: '"gone"' in bed.journal(run), "the connection is given up")
    bed.heal()


FAULTS = (
    Fault(
        "the network to the instance is cut for 1.5 s",
        IN_TIME,
        strike=_both,
        recover=_heal_after(SHORT_SECONDS),
        bed="over ssh",
        quick="call",
        is_quick=False,
    ),
    Fault(
        "the network is cut before go, and healed after 1.4 s",
        {"armed": PERHAPS},
        strike=_both,
        recover=_heal_after(BEFORE_GO_SECONDS),
        bed="over ssh",
        is_quick=False,
    ),
    Fault(
        "the network is cut before go, and healed after 4 s",
        {"armed": NOT_THERE},
        strike=_both,
        recover=_heal_after(LATE_SECONDS),
        bed="over ssh",
        is_quick=False,
    ),
    Fault(
        "the network is cut for longer than the silence",
        LONG,
        strike=_until_thawed_there(_both),
        recover=_heal,
        promised=SILENCE_SECONDS,
        ends_before=True,
        bed="over ssh",
        quick="call",
    ),
    Fault(
        "the network is cut past the deadline, which comes before the silence",
        {"call": Expected("0|1", "partial", "crash", reason=AUTOMATIC)},
        strike=_until_thawed_there(_both_when_open_for_long),
        recover=_heal,
        bed="over ssh",
        policy=SOON,
        is_quick=False,
    ),
    Fault(
        "what is said to the instance is lost, for 1.5 s",
        IN_TIME,
        strike=_towards,
        recover=_heal_after(SHORT_SECONDS),
        bed="over ssh",
        quick="call",
        is_quick=False,
    ),
    Fault(
        "what the instance says is lost, for 1.5 s",
        IN_TIME,
        strike=_back,
        recover=_heal_after(SHORT_SECONDS),
        bed="over ssh",
        quick="call",
        is_quick=False,
    ),
    Fault(
        "what is said to the instance is lost, for longer than the silence",
        LONG,
        strike=_until_thawed_there(_towards),
        recover=_heal,
        promised=SILENCE_SECONDS,
        ends_before=True,
        bed="over ssh",
        quick="call",
        is_quick=False,
    ),
    Fault(
        "what the instance says is lost, for longer than the silence",
        LONG,
        strike=_until_thawed_there(_back),
        recover=_heal,
        promised=SILENCE_SECONDS,
        ends_before=True,
        bed="over ssh",
        quick="call",
        is_quick=False,
    ),
    Fault(
        "what the instance says is lost: it hears thaw, and nobody hears that it thawed",
        {"call": HEARD_LATER, "returned": HEARD_LATER},
        strike=_back,
        recover=_heal_once_thawed_unheard,
        bed="over ssh",
        is_quick=False,
    ),
)
