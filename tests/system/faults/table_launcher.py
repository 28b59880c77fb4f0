"""What happens to a run when processes die, of a server that is not root: its scripts are started by the launcher."""

import contextlib
import signal
from dataclasses import replace
from pathlib import Path

from scripts_admin.guard import linux
from tests.system.faults import table_processes
from tests.system.faults.bed import GUARD, WORKERS, Bed
from tests.system.faults.table import FINE, Expected, Fault
from tests.system.faults.table_processes import (
    AFTER_LOST,
    COMPLETE_LOST,
    CUT,
    LATE,
    NOT_FIRED,
    WATCHDOG,
)

LAUNCHER = b"/usr/local/libexec/n2wbackup-run"
# These are struck at again: what they kill or stop stands above the launcher.
AGAIN = {
    "SIGKILL of the workers": "",
    "SIGKILL of the guard": "before",
    "SIGKILL of the workers, and before ignores TERM": "",
    "SIGKILL of workers and guard": "",
    "SIGKILL of workers, guard and watchdog": "",
    "everything killed, memory lost, then a start": "",
    "SIGTERM, then a start": "",
    "SIGSTOP of the workers past the deadline, then SIGCONT": "",
    "SIGSTOP of the guard": "",
    "SIGSTOP of the guard, then SIGKILL of the workers": "",
}
QUICK = {"SIGKILL of the workers", "SIGKILL of workers and guard"}
# before of which nobody can tell how it ended is taken for failed, though its guard lives.
BEFORE_LOST = Expected("0", "partial", "crash", afters=2)


def launchers(bed: Bed) -> list[int]:
    """Return the launchers of this server, of which sudo tells who called it."""
    caller = f"SUDO_UID={bed.product.home.stat().st_uid}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            if LAUNCHER in (path / "cmdline").read_bytes().split(b"\0") and caller in (
                path / "environ"
            ).read_bytes().split(b"\0"):
                found.append(int(path.name))
    return found


def _kill_launchers(bed: Bed, _: str) -> None:
    found = launchers(bed)
    assert found
    struck = [linux.identify(pid) for pid in found]
    bed.send(found, signal.SIGKILL)
    # The guard goes on at once, and a launcher that is about to die still looks like one that stands.
    bed.wait_until(lambda: not any(map(linux.is_alive, struck)), "the launchers are dead")


def _kill_launchers_and_guard(bed: Bed, _: str) -> None:
    found = [*launchers(bed), *bed.pids(GUARD)]
    bed.send(found, signal.SIGSTOP)  # none of them sees another one die
    bed.send(found, signal.SIGKILL)


def _kill_everybody(bed: Bed, _: str) -> None:
    found = [*launchers(bed), *bed.pids(GUARD, WORKERS, WATCHDOG)]
    bed.send(found, signal.SIGSTOP)
    bed.send(found, signal.SIGKILL)


def _stop_launchers(bed: Bed, _: str) -> None:
    found = launchers(bed)
    assert found
    bed.send(found, signal.SIGSTOP)
    bed.stopped.update(found)


FAULTS = (
    *(
        replace(
            fault,
            name=f"{fault.name}; launcher",
            bed="launcher",
            quick=AGAIN[fault.name] or fault.quick,
            is_quick=fault.name in QUICK,
        )
        for fault in table_processes.FAULTS
        if fault.name in AGAIN
    ),
    Fault(
        "SIGKILL of the launchers",
        {
            "before": BEFORE_LOST,
            "between": FINE,
            "call": FINE,
            "returned": FINE,
            "after": AFTER_LOST,
            "complete": COMPLETE_LOST,
        },
        strike=_kill_launchers,
        promised=10.0,
        bed="launcher",
        ends_before=True,
        quick="before",
    ),
    Fault(
        "SIGKILL of launchers and guard",
        {
            "before": BEFORE_LOST,
            "between": LATE,
            "call": LATE,
            "returned": LATE,
            "after": AFTER_LOST,
            "complete": COMPLETE_LOST,
        },
        strike=_kill_launchers_and_guard,
        promised=10.0,
        bed="launcher",
        ends_before=True,
        is_quick=False,
    ),
    Fault(
        "SIGKILL of launchers, guard, workers and watchdog",
        {"before": CUT, "between": NOT_FIRED, "call": LATE, "returned": LATE, "after": AFTER_LOST},
        strike=_kill_everybody,
        promised=10.0,
        bed="launcher",
        ends_before=True,
        quick="before",
    ),
    Fault(
        "SIGSTOP of the launchers",
        {"before": FINE, "call": FINE, "after": FINE, "complete": FINE},
        strike=_stop_launchers,
        bed="launcher",
        is_quick=False,
    ),
)
