"""What happens to a run whose before and after run on an instance, when processes at both ends die or stop."""

import signal

from tests.ground import processes
from tests.system.faults import moments
from tests.system.faults.bed import GUARD, WORKERS, Bed
from tests.system.faults.table import FINE, Expected, Fault
from tests.system.faults.table_processes import AUTOMATIC, LATE, WATCHDOG

CARRIER = "n2wbackup carrier"
BY_ITSELF = "thawed by itself"
# What the instance did alone: its snapshots are worth less, and the run says so.
ALONE = Expected("0", "partial", "crash", reason=BY_ITSELF)
CUT = Expected("0", "partial", "crash", afters=2, reason=BY_ITSELF)
LOST = Expected("0", "partial", "crash", reason=AUTOMATIC)
# before had begun when the worker died: no call was made.
NOT_FIRED = Expected("0", "failed", "none", fires=0, afters=2, unknown_answer=True)
EVERY = {moment.name: FINE for moment in moments.ALL if moment.name in {"call", "after"}}


def _kill_everything(bed: Bed, _: str) -> None:
    found = bed.pids(GUARD, CARRIER, WATCHDOG, WORKERS)
    bed.send(found, signal.SIGSTOP)
    bed.send(found, signal.SIGKILL)


def _of_sshd(bed: Bed, wanted: bytes) -> list[int]:
    """The processes below the sshd, and those that have left it, whose command line has these bytes."""
    assert bed.sshd is not None
    found = processes.descendants(bed.sshd.process.pid)
    return [pid for pid in found if wanted in _command(pid)]


def _command(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123 - as short as it gets
            return file.read()
    except OSError:
        return b""


def _wrapper(bed: Bed) -> list[int]:
    """The process that sshd has started: the first that leads the others."""
    return _of_sshd(bed, b'eval "$(head -c')[:1]


def _kill_wrapper(bed: Bed, _: str) -> None:
    bed.send(_wrapper(bed), signal.SIGKILL)


def _stop_wrapper(bed: Bed, _: str) -> None:
    bed.send(_wrapper(bed), signal.SIGSTOP)


def _kill_connection(bed: Bed, _: str) -> None:
    bed.send(_of_sshd(bed, b"sshd: "), signal.SIGKILL)


FAULTS = (
    Fault(
        "SIGKILL of the carrier",
        {"before": CUT, "call": ALONE, "returned": ALONE},
        strike=lambda bed, _: bed.kill(CARRIER),
        promised=1.0,
        ends_before=True,
        bed="over ssh",
        quick="call",
        is_quick=False,
    ),
    Fault(
        "SIGKILL of the guard, which has a carrier",
        {"call": LOST, "returned": LOST},
        strike=lambda bed, _: bed.kill(GUARD),
        promised=1.0,
        bed="over ssh",
        is_quick=False,
    ),
    Fault(
        "SIGKILL of the workers, whose guard has a carrier",
        {"before": NOT_FIRED, "call": LATE, "returned": LATE},
        strike=lambda bed, _: bed.kill(WORKERS),
        promised=1.0,
        ends_before=True,
        bed="over ssh",
        is_quick=False,
    ),
    Fault(
        "SIGKILL of workers, guard, carrier and watchdog",
        {"before": NOT_FIRED, "call": LOST, "returned": LOST},
        strike=_kill_everything,
        promised=1.0,
        ends_before=True,
        bed="over ssh",
        quick="call",
    ),
    Fault(
        "SIGKILL of the connection's own sshd",
        {"call": ALONE},
        strike=_kill_connection,
        promised=1.0,
        bed="over ssh",
        is_quick=False,
    ),
    Fault(
        "SIGKILL of the wrapper on the instance",
        {"call": ALONE},
        strike=_kill_wrapper,
        promised=1.0,
        bed="over ssh",
        is_quick=False,
    ),
    Fault(
        "SIGSTOP of the wrapper on the instance",
        {"call": Expected("0|1", "partial|succeeded", "crash|application", "")},
        strike=_stop_wrapper,
        bed="over ssh",
        is_quick=False,
    ),
    Fault(
        "nothing, with scripts on an instance",
        EVERY,
        bed="over ssh",
        is_quick=False,
    ),
)
