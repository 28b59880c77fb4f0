"""What happens to a run whose before and after run on an instance, when processes at both ends die or stop."""

import signal

from tests.system.faults import far, moments
from tests.system.faults.bed import END_SECONDS, GUARD, WORKERS, Bed
from tests.system.faults.table import FINE, Expected, Fault
from tests.system.faults.table_network import (
    ALONE,
    CUT,
    HEARD_LATER,
    NOT_THERE,
    SOON,
)
from tests.system.faults.table_processes import AUTOMATIC, LATE, WATCHDOG

CARRIER = "n2wbackup carrier"
LOST = Expected("0", "partial", "crash", reason=AUTOMATIC)
# Who took the run over thaws, or is told to by the second session of the server: whichever comes first.
ENDED = Expected("0", "partial", "crash", afters=2, reason="before interrupted")
# before had begun when the worker died: no call was made.
NOT_FIRED = Expected("0", "failed", "none", fires=0, afters=2, unknown_answer=True)
NOTHING = Expected("", "failed", "none", fires=0, befores=0, afters=0, unknown_answer=True)
CUT_LATER = Expected("0", "partial", "crash", afters=2)
EVERY = {moment.name: FINE for moment in (*moments.ALL, moments.ARMED)}


def kill_everything(bed: Bed, _: str) -> None:
    """SIGKILL all that could thaw in one go."""
    found = bed.pids(GUARD, CARRIER, WATCHDOG, WORKERS)
    bed.send(found, signal.SIGSTOP)
    bed.send(found, signal.SIGKILL)


def _kill_everything_without_database(bed: Bed, run: str) -> None:
    assert bed.database is not None
    bed.database.stop()
    kill_everything(bed, run)


def _database_back(bed: Bed, run: str) -> None:
    """Let the database come back when the instance has told all, to somebody who has only the spool."""
    assert bed.database is not None
    bed.wait_until(lambda: '"over"' in bed.heard(run), "the instance has told")
    bed.database.start()


def _kill_wrapper(bed: Bed, run: str) -> None:
    bed.send(far.wrapper(bed, run), signal.SIGKILL)


def _kill_heir(bed: Bed, run: str) -> None:
    bed.send(far.heir(bed, run), signal.SIGKILL)


def _kill_wrapper_and_heir(bed: Bed, run: str) -> None:
    found = [*far.wrapper(bed, run), *far.heir(bed, run)]
    bed.send(found, signal.SIGSTOP)  # none of them sees the other one die
    bed.send(found, signal.SIGKILL)
    if not any((bed.gates / phase).exists() for phase in ("armed", "before", "after")):
        # Only the call is waited for: let it go on after the thaw there, or both come at the same moment.
        bed.product.wait_for_mark("after", "start", seconds=END_SECONDS)


def _kill_after_at_its_gate(bed: Bed, run: str) -> None:
    bed.send(far.after_at_its_gate(bed, run), signal.SIGKILL)


def _stop_wrapper(bed: Bed, run: str) -> None:
    far.stop(bed, far.wrapper(bed, run))


def _stop_wrapper_until_thaw_waits(bed: Bed, run: str) -> None:
    """Stop it until the deadline has passed and the order to thaw lies in its queue."""
    _stop_wrapper(bed, run)
    bed.wait_until(lambda: '"thaw there"' in bed.journal(run), "the order to thaw")


def _stop_connection(bed: Bed, run: str) -> None:
    """Stop the sshd of the connection until the instance has thawed by itself."""
    far.stop(bed, far.of_sshd(bed, b"sshd: ") or far.of_sshd(bed, b"sshd-session: "))
    began = bed.since
    bed.product.wait_for_mark("after", "start", seconds=END_SECONDS)
    bed.since = began


def _resume(bed: Bed, _: str) -> None:
    bed.resume()


def _listen_anew(bed: Bed, _: str) -> None:
    assert bed.sshd is not None
    bed.sshd.reload()


def _change_host_key(bed: Bed, run: str) -> None:
    """End the connection, and let whoever comes next see another host key."""
    assert bed.sshd is not None
    bed.helpers.callback(bed.sshd.change_host_key())
    far.kill_connection(bed, run)


def _host_key_back(bed: Bed, run: str) -> None:
    """Put the approved key back once it was refused to speak to another one."""
    bed.wait_until(lambda: '"visited"' in bed.heard(run), "a visit that was refused")
    bed.helpers.close()


FAULTS = (
    Fault(
        "SIGKILL of the carrier",
        {
            "armed": NOT_THERE,
            "before": CUT,
            "between": ALONE,
            "call": ALONE,
            "returned": ALONE,
            "after": HEARD_LATER,
        },
        strike=lambda bed, _: bed.kill(CARRIER),
        promised=1.0,
        ends_before=True,
        bed="over ssh",
        quick="call",
        is_quick=False,
    ),
    Fault(
        "SIGKILL of the guard, which has a carrier",
        {
            "armed": NOT_THERE,
            "before": CUT_LATER,
            "between": LOST,
            "call": LOST,
            "returned": LOST,
            "after": HEARD_LATER,
        },
        strike=lambda bed, _: bed.kill(GUARD),
        promised=1.0,
        ends_before=True,
        bed="over ssh",
        is_quick=False,
    ),
    Fault(
        "SIGKILL of the workers, whose guard has a carrier",
        {"armed": NOTHING, "before": NOT_FIRED, "call": LATE, "returned": LATE},
        strike=lambda bed, _: bed.kill(WORKERS),
        promised=1.0,
        ends_before=True,
        ends_armed=True,
        bed="over ssh",
        is_quick=False,
    ),
    Fault(
        "SIGKILL of workers, guard, carrier and watchdog",
        {
            "armed": NOTHING,
            "before": NOT_FIRED,
            "call": LOST,
            "returned": LOST,
            "after": HEARD_LATER,
        },
        strike=kill_everything,
        promised=1.0,
        ends_before=True,
        ends_armed=True,
        bed="over ssh",
        quick="call",
    ),
    Fault(
        "SIGKILL of all of them while the database is away",
        {"before": NOT_FIRED, "call": LOST, "returned": LOST},
        strike=_kill_everything_without_database,
        recover=_database_back,
        promised=1.0,
        ends_before=True,
        bed="over ssh, postgresql",
        quick="call",
        is_quick=False,
    ),
    Fault(
        "SIGKILL of the connection's own sshd",
        {"armed": NOT_THERE, "before": CUT, "call": ALONE, "after": HEARD_LATER},
        strike=far.kill_connection,
        promised=1.0,
        ends_before=True,
        bed="over ssh",
        is_quick=False,
    ),
    Fault(
        "SIGSTOP of the connection's own sshd",
        {"before": CUT, "call": ALONE},
        strike=_stop_connection,
        recover=_resume,
        promised=11.0,
        ends_before=True,
        bed="over ssh",
        is_quick=False,
    ),
    Fault(
        "sshd listens anew",
        {"armed": FINE, "before": FINE, "call": FINE, "after": FINE},
        strike=_listen_anew,
        bed="over ssh",
        is_quick=False,
    ),
    Fault(
        "the host key is another one when the watchdog comes",
        {"before": CUT, "call": ALONE},
        strike=_change_host_key,
        recover=_host_key_back,
        promised=1.0,
        ends_before=True,
        bed="over ssh",
        is_quick=False,
    ),
    Fault(
        "SIGKILL of the wrapper on the instance",
        {"armed": NOT_THERE, "before": CUT, "call": ALONE, "after": HEARD_LATER},
        strike=_kill_wrapper,
        promised=1.0,
        ends_before=True,
        bed="over ssh",
        quick="call",
        is_quick=False,
    ),
    Fault(
        "SIGKILL of the wrapper's heir",
        {"armed": FINE, "before": FINE, "call": FINE, "after": FINE},
        strike=_kill_heir,
        bed="over ssh",
        is_quick=False,
    ),
    Fault(
        "SIGKILL of the wrapper and its heir",
        {"armed": NOT_THERE, "before": ENDED, "call": ALONE, "after": HEARD_LATER},
        strike=_kill_wrapper_and_heir,
        promised=2.0,
        ends_before=True,
        bed="over ssh",
        is_quick=False,
    ),
    Fault(
        "SIGKILL of after at its gate on the instance",
        {"armed": FINE, "before": FINE, "call": FINE},
        strike=_kill_after_at_its_gate,
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
        "the wrapper is stopped past its deadline, with the order to thaw in its queue",
        {"call": Expected("0", "partial", "crash", reason=AUTOMATIC)},
        strike=_stop_wrapper_until_thaw_waits,
        bed="over ssh",
        policy=SOON,
        is_quick=False,
    ),
    Fault(
        "nothing, with scripts on an instance",
        EVERY,
        bed="over ssh",
        is_quick=False,
    ),
)
