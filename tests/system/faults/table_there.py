"""What happens to a run whose scripts on an instance misbehave, or find no place there to run."""

from tests.ground import components
from tests.system.faults import far
from tests.system.faults.bed import Bed
from tests.system.faults.table import FINE, Expected, Fault, Strike
from tests.system.faults.table_scripts import FIRST, LONG, SHORT

BEFORE_LATE = Expected("0", "partial", "crash", afters=2, reason="before timed_out")
AFTER_AGAIN = Expected("1", "partial", "crash", afters=2, reason="after")
TIMED_OUT = {"before": BEFORE_LATE, "after": AFTER_AGAIN}
BOTH_FINE = {"before": FINE, "after": FINE}
MISBEHAVIOURS = {
    "hangs": ("sleep 600", TIMED_OUT, SHORT),
    "ignores TERM": (
        "trap '' TERM; sleep 60 & wait $!; sleep 60; sleep 60",
        TIMED_OUT,
        SHORT,
    ),
    "prints 1 GB": (r"head -c 1G /dev/zero | tr '\0' x", BOTH_FINE, LONG),
    "closes its output": ("exec >&- 2>&-", BOTH_FINE, {}),
    "leaves a child that holds its output": ("sleep 8 & disown", BOTH_FINE, {}),
}
# Each leaves a process that freezes once before's timeout has passed.
FREEZERS = {
    "in a session of its own": "setsid bash -c 'sleep 4.5; touch {frozen}'",
    "without its environment": "setsid env -i bash -c 'sleep 4.5; touch {frozen}'",
    "by sudo": "setsid {sudo} -n bash -c 'sleep 4.5; touch {frozen}'",
}


def _in_phase(body: str) -> Strike:
    """Return a function that installs a body in the script of the cell's moment; of after, in its first attempt."""

    def prepare(bed: Bed, moment: str) -> None:
        bed.scripts(**{moment: FIRST.format(body=body)})

    return prepare


def _freeze_late(text: str) -> Strike:
    def prepare(bed: Bed, _: str) -> None:
        sudo = components.program("sudo") if "{sudo}" in text else ""
        bed.scripts(before=f"{text.format(frozen=bed.frozen, sudo=sudo)} & sleep 60")

    return prepare


def _after(body: str) -> Strike:
    return lambda bed, _: bed.scripts(after=body)


def _was_refused(bed: Bed, _: str) -> None:
    bed.wait_until(lambda: "refused" in far.second_start(bed), "the second start is refused")


def _no_place(name: str, prepare: Strike, reason: str) -> Fault:
    expected = Expected("", "partial", "crash", befores=0, afters=0, reason=reason)
    return Fault(
        name,
        {"preparing": expected},
        prepare=prepare,
        by_itself=True,
        bed="over ssh",
        is_quick=False,
    )


FAULTS = (
    *(
        Fault(
            f"a script on the instance {what}",
            at,
            prepare=_in_phase(body),
            by_itself=True,
            bed="over ssh",
            policy=policy,
            is_quick=False,
        )
        for what, (body, at, policy) in MISBEHAVIOURS.items()
    ),
    *(
        Fault(
            f"a child on the instance freezes {how} after before's timeout",
            {"before": BEFORE_LATE},
            prepare=_freeze_late(text),
            by_itself=True,
            bed="over ssh",
            policy=SHORT,
            is_quick=False,
        )
        for how, text in FREEZERS.items()
    ),
    Fault(
        "after on the instance fails twice and then works",
        {"after": Expected("1", "partial", "crash", afters=3, reason="after failed")},
        prepare=_after('[[ "$N2W_ATTEMPT" -gt 2 ]] || exit 3'),
        by_itself=True,
        bed="over ssh",
        is_quick=False,
    ),
    Fault(
        "after on the instance is killed",
        {"after": AFTER_AGAIN},
        prepare=_in_phase("kill -KILL $$"),
        by_itself=True,
        bed="over ssh",
        is_quick=False,
    ),
    _no_place("the instance has no memory to write to", far.without_memory, "no tmpfs"),
    _no_place("the memory of the instance is full", far.with_full_memory, "is full"),
    _no_place(
        "somebody has made the run's folder on the instance",
        far.squatted,
        "belongs to somebody else",
    ),
    Fault(
        "the program is sent to the instance twice",
        {"before": FINE},
        prepare=far.sent_twice,
        strike=_was_refused,
        bed="over ssh",
        is_quick=False,
    ),
)
