"""What happens to a run when its own scripts misbehave. The moment is the script that does."""

import shutil
from collections.abc import Mapping

from tests.system.faults import moments
from tests.system.faults.bed import Bed
from tests.system.faults.table import FINE, Expected, Fault, Strike

SHORT: Mapping[str, object] = {
    "max_freeze_seconds": 15,
    "scripts": {"timeout_seconds": {"before": 3, "after": 3, "complete": 3}},
}
LONG: Mapping[str, object] = {
    "max_freeze_seconds": 100,
    "scripts": {"timeout_seconds": {"before": 60, "after": 60, "complete": 60}},
}
TIMED_OUT = {
    "before": Expected("0", "partial", "crash", afters=2, reason="before timed_out"),
    "after": Expected("1", "partial", "crash", afters=2, reason="after timed_out"),
    "complete": Expected("1", "partial", "application", "1", reason="complete timed_out"),
}
ALL_FINE = dict.fromkeys(("before", "after", "complete"), FINE)
# Of after only the first attempt misbehaves, or there would be no end.
FIRST = 'if [[ "$N2W_ATTEMPT" == 1 ]]; then {body}; fi'
LATE_FREEZER = "setsid bash -c 'sleep 4.5; touch {frozen}' & sleep 60"


def _in_phase(body: str) -> Strike:
    """Return a function that installs a body in the script of the cell's moment."""

    def prepare(bed: Bed, moment: str) -> None:
        bed.scripts(**{moment: FIRST.format(body=body)})

    return prepare


def _after(body: str) -> Strike:
    return lambda bed, _: bed.scripts(after=body)


def _freeze_late(bed: Bed, _: str) -> None:
    """Let before's child, in a session of its own, freeze once before's timeout has passed."""
    bed.scripts(before=LATE_FREEZER.format(frozen=bed.frozen))


def _replace(bed: Bed, _: str) -> None:
    """Put other files in the place of all scripts, as an editor or a deploy does."""
    for path in bed.product.folder.iterdir():
        other = path.with_name(f".{path.name}")
        other.write_text(f"{path.read_text()}\n# replaced\n")
        other.chmod(0o755)
        other.replace(path)


def _remove_folder(bed: Bed, _: str) -> None:
    shutil.rmtree(bed.product.folder)


ONCE_BEFORE_RAN = {moment.name: FINE for moment in moments.ALL if moment.name != "preparing"}

FAULTS = (
    Fault(
        "a script hangs",
        TIMED_OUT,
        prepare=_in_phase("sleep 600"),
        by_itself=True,
        policy=SHORT,
    ),
    Fault(
        "a script ignores TERM",
        TIMED_OUT,
        prepare=_in_phase("trap '' TERM; sleep 60 & wait $!; sleep 60; sleep 60"),
        by_itself=True,
        policy=SHORT,
    ),
    Fault(
        "a script leaves a child that holds its output",
        ALL_FINE,
        prepare=_in_phase("sleep 8 & disown"),
        by_itself=True,
        promised=1.0,
    ),
    Fault(
        "a child in its own session freezes after before's timeout",
        {"before": TIMED_OUT["before"]},
        prepare=_freeze_late,
        by_itself=True,
        policy=SHORT,
    ),
    Fault(
        "a script prints 1 GB",
        ALL_FINE,
        prepare=_in_phase(r"head -c 1G /dev/zero | tr '\0' x"),
        by_itself=True,
        policy=LONG,
    ),
    Fault(
        "a script prints binary",
        ALL_FINE,
        prepare=_in_phase(r"head -c 300000 /dev/urandom; printf 'a\0b\xff\xfe' >&2"),
        by_itself=True,
        promised=1.0,
    ),
    Fault(
        "after fails twice and then works",
        {"after": Expected("1", "partial", "crash", afters=3, reason="after failed")},
        prepare=_after('[[ "$N2W_ATTEMPT" -gt 2 ]] || exit 3'),
        by_itself=True,
        promised=1.0,
    ),
    Fault(
        "after never works",
        {
            "after": Expected(
                "1", "partial", "crash", afters=5, reason="after failed", may_be_frozen=True
            )
        },
        prepare=_after("exit 3"),
        by_itself=True,
        promised=1.0,
        policy={"thaw_retry_minutes": 1},
    ),
    Fault("the scripts are replaced", ONCE_BEFORE_RAN, strike=_replace, promised=1.0),
    Fault("the script folder is removed", ONCE_BEFORE_RAN, strike=_remove_folder, promised=1.0),
)
