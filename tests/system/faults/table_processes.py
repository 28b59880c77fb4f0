"""What happens to a run when processes die, stop, or are asked to go."""

import signal
import time
from collections.abc import Mapping

from tests.system import product as products
from tests.system.faults import moments
from tests.system.faults.bed import GUARD, WORKERS, Bed
from tests.system.faults.table import FINE, Expected, Fault

WATCHDOG = "n2wbackup watchdog"
AUTOMATIC = "automatic"
# before had not ended: it is ended, and after comes a second time.
CUT = Expected("0", "failed", "none", fires=0, afters=2, unknown_answer=True)
NOT_FIRED = Expected("1", "failed", "none", fires=0, unknown_answer=True, reason=AUTOMATIC)
LATE = Expected("1", "partial", "crash", reason=AUTOMATIC)
AFTER_LOST = Expected("1", "partial", "crash", afters=2, reason="after interrupted")
COMPLETE_LOST = Expected("1", "partial", "application", "1", reason="complete interrupted")
REBOOTED = {
    "before": Expected("0", "failed", "none", fires=0, afters=2, unknown_answer=True),
    "between": Expected("0", "failed", "none", fires=0, afters=2, unknown_answer=True),
    "call": Expected("0", "partial", "crash", afters=2, reason=AUTOMATIC),
    "returned": Expected("0", "partial", "crash", afters=2, reason=AUTOMATIC),
    "after": Expected("0", "partial", "crash", afters=2),
    "complete": COMPLETE_LOST,
}
WHILE_FROZEN = {moment: REBOOTED[moment] for moment in ("before", "between", "call", "returned")}
SHORT: Mapping[str, object] = {
    "max_freeze_seconds": 15,
    "scripts": {"timeout_seconds": {"before": 5, "after": 15, "complete": 15}},
}
EVERY = {moment.name: FINE for moment in moments.ALL}


def _kill_forkserver(bed: Bed, _: str) -> None:
    bed.send(bed.forkservers(), signal.SIGKILL)


def _ignoring_term(bed: Bed, _: str) -> None:
    bed.scripts(before="trap '' TERM")


def kill_workers_and_guard(bed: Bed, _: str) -> None:
    """SIGKILL both in one go: none of the two sees the other one die."""
    _kill_at_once(bed, GUARD, WORKERS)


def kill_all_who_thaw(bed: Bed, _: str) -> None:
    """SIGKILL workers, guard and watchdog in one go: only the supervisor is left."""
    _kill_at_once(bed, GUARD, WATCHDOG, WORKERS)


def _kill_at_once(bed: Bed, *titles: str) -> None:
    # A stopped process cannot react to the death of another one.
    found = bed.pids(*titles)
    bed.send(found, signal.SIGSTOP)
    bed.send(found, signal.SIGKILL)


def _kill_supervisor(bed: Bed, _: str) -> None:
    assert bed.product.process is not None
    bed.send([bed.product.process.pid], signal.SIGKILL)
    bed.product.process.wait()


def _terminate(bed: Bed, _: str) -> None:
    assert bed.product.process is not None
    bed.send([bed.product.process.pid], signal.SIGTERM)


def _start_again(bed: Bed, _: str) -> None:
    """Wait until the server has ended in order, and start the next one."""
    assert bed.product.process is not None
    bed.product.process.wait(120)
    bed.product.start()
    products.wait_until_ready(bed.product)


def _second_server(bed: Bed, _: str) -> None:
    bed.restart_when_free()


def _drain_and_start(bed: Bed, run: str) -> None:
    bed.product.succeed("drain")
    _start_again(bed, run)


def _restart(bed: Bed, _: str) -> None:
    bed.restart()
    products.wait_until_ready(bed.product)


def _crash_with_postgresql(bed: Bed, run: str) -> None:
    assert bed.database is not None
    bed.crash(run)
    bed.database.stop()


def _restart_before_postgresql(bed: Bed, _: str) -> None:
    assert bed.database is not None
    bed.restart()
    bed.product.wait_for_mark("after", "end", seconds=60)
    bed.database.start()
    products.wait_until_ready(bed.product)


def _crash_and_lose_the_rows(bed: Bed, run: str) -> None:
    bed.crash(run)
    kept = bed.product.home / "kept"
    kept.mkdir(exist_ok=True)
    for path in bed.product.home.glob(
        "db.sqlite3*"
    ):  # what was written last is in a file beside it
        path.rename(kept / path.name)


def _restart_without_rows(bed: Bed, _: str) -> None:
    """Start on an empty database, which is refused; then with the rows, as somebody has restored them."""
    bed.restart()
    bed.product.wait_for_mark("after", "end", seconds=60)
    assert bed.product.process is not None
    assert bed.product.process.wait(60) != 0
    for path in bed.product.home.glob("db.sqlite3*"):
        path.unlink()
    for path in (bed.product.home / "kept").iterdir():
        path.rename(bed.product.home / path.name)
    bed.product.start()
    products.wait_until_ready(bed.product)


def _stop_workers(bed: Bed, _: str) -> None:
    bed.stop(WORKERS)


def _stop_guard_and_kill_workers(bed: Bed, _: str) -> None:
    bed.stop(GUARD)
    bed.kill(WORKERS)


def _wake_when_thawed(bed: Bed, _: str) -> None:
    """Let the workers sleep until another process has thawed, or for a while if nothing is frozen."""
    if bed.product.marks("before", "start"):
        bed.product.wait_for_mark("after", "end", seconds=90)
    time.sleep(1)
    bed.resume()


FAULTS = (
    Fault(
        "SIGKILL of the workers",
        EVERY
        | {
            "before": CUT,
            "between": NOT_FIRED,
            "call": LATE,
            "returned": LATE,
            "after": Expected("1", "partial", "crash"),
        },
        strike=lambda bed, _: bed.kill(WORKERS),
        promised=1.0,
        ends_before=True,
        quick="returned",
    ),
    Fault(
        "SIGKILL of the guard",
        {
            "before": Expected("0", "partial", "crash", afters=2),
            "between": LATE,
            "call": LATE,
            "returned": LATE,
            "after": AFTER_LOST,
            "complete": COMPLETE_LOST,
        },
        strike=lambda bed, _: bed.kill(GUARD),
        promised=10.0,
        ends_before=True,
        quick="call",
    ),
    Fault(
        "SIGKILL of the workers, and before ignores TERM",
        {"before": CUT},
        prepare=_ignoring_term,
        strike=lambda bed, _: bed.kill(WORKERS),
        ends_before=True,
    ),
    Fault("SIGKILL of the forkserver", EVERY, strike=_kill_forkserver, quick="between"),
    Fault(
        "SIGKILL of workers and guard",
        {
            "before": CUT,
            "between": NOT_FIRED,
            "call": LATE,
            "returned": LATE,
            "after": AFTER_LOST,
            "complete": COMPLETE_LOST,
        },
        strike=kill_workers_and_guard,
        promised=10.0,
        ends_before=True,
        quick="call",
    ),
    Fault(
        "SIGKILL of workers, guard and watchdog",
        {"before": CUT, "between": NOT_FIRED, "call": LATE, "returned": LATE, "after": AFTER_LOST},
        strike=kill_all_who_thaw,
        promised=10.0,
        ends_before=True,
        quick="returned",
    ),
    Fault(
        "SIGKILL of the supervisor, then a second server",
        EVERY,
        strike=_kill_supervisor,
        recover=_second_server,
        quick="before",
    ),
    Fault(
        "everything killed, memory lost, then a start",
        EVERY | REBOOTED,
        strike=Bed.crash,
        recover=_restart,
        promised=5.0,
        ends_before=True,
        quick="returned",
    ),
    Fault(
        "everything killed, memory lost, then a start without PostgreSQL",
        WHILE_FROZEN,
        bed="postgresql",
        strike=_crash_with_postgresql,
        recover=_restart_before_postgresql,
        promised=5.0,
        ends_before=True,
        quick="call",
    ),
    Fault(
        "everything killed, memory lost, then a start with an empty database",
        WHILE_FROZEN,
        strike=_crash_and_lose_the_rows,
        recover=_restart_without_rows,
        promised=5.0,
        ends_before=True,
        quick="before",
    ),
    Fault("SIGTERM, then a start", EVERY, strike=_terminate, recover=_start_again, quick="call"),
    Fault(
        "drain, then a start",
        EVERY,
        strike=_terminate,
        recover=_drain_and_start,
        quick="after",
    ),
    Fault(
        "SIGSTOP of the workers past the deadline, then SIGCONT",
        EVERY
        | {
            "before": Expected("1", "failed", "none", fires=0, reason=AUTOMATIC),
            "between": Expected("1", "failed", "none", fires=0, reason=AUTOMATIC),
            "call": LATE,
            "returned": LATE,
        },
        strike=_stop_workers,
        recover=_wake_when_thawed,
        quick="returned",
        policy=SHORT,
    ),
    Fault(
        "SIGSTOP of the guard",
        {"between": LATE, "call": LATE, "returned": LATE},
        strike=lambda bed, _: bed.stop(GUARD),
        quick="call",
        policy=SHORT,
    ),
    Fault(
        "SIGSTOP of the guard, then SIGKILL of the workers",
        {"between": NOT_FIRED, "call": LATE, "returned": LATE},
        strike=_stop_guard_and_kill_workers,
        quick="returned",
        policy=SHORT,
    ),
)
