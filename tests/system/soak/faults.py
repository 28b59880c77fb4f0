"""The faults of the soak, as data: what is done, how often in comparison, and what it may cost a run."""

import signal
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from redis import Redis

from n2wbackup.demo.aws.client import FaultKind
from tests.system.soak.estate import Estate

# How a run may end: its state and its consistency.
End = tuple[str, str]
FINE: End = ("succeeded", "application")
LATE: End = ("partial", "crash")
COMPLETE_LOST: End = ("partial", "application")
NOTHING: End = ("failed", "none")
THAWED_BY_GUARD = frozenset({LATE, NOTHING})
ANYTHING = frozenset({LATE, COMPLETE_LOST, NOTHING})

FREEZER, WORKER, TICKER = (
    "n2wbackup worker freeze",
    "n2wbackup worker work",
    "n2wbackup worker tick",
)
STOPPED_SECONDS = 6.0
LOCKED_SECONDS = 5.0
CUT_SECONDS = 15.0  # longer than an instance takes for our end
ONE_WAY_SECONDS = 6.0  # longer than a connection lives without an answer
TROUBLE_SECONDS = 6.0  # of AWS; a call that hangs then loses its connection

Strike = Callable[[Estate, Random], int]
Recover = Callable[[Estate], None]


def nothing(_: Estate) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Fault:
    """One fault. `strike` returns how many it hit; `recover` returns when what was struck is as before.

    `costs`: how a run that was under way may end, besides as if nothing had been; `costs_there`: one whose scripts run
    on an instance. `promised`: seconds to the
    start of after, for each open window, from the strike or, where everything was dead, from the next start;
    None: the freeze budget holds, and nothing more is promised. `spares`: no process ends by it, so that
    memory can be followed.
    """

    name: str
    strike: Strike
    recover: Recover = nothing
    weight: int = 1
    costs: frozenset[End] = frozenset()
    costs_there: frozenset[End] = frozenset()
    promised: float | None = None
    spares: bool = False


def _kill(title: str) -> Strike:
    return lambda estate, _: estate.signal(estate.product.pids(title), signal.SIGKILL)


def _kill_a_guard(estate: Estate, rng: Random) -> int:
    found = estate.guards()
    return estate.signal(rng.sample(found, min(1, len(found))), signal.SIGKILL)


def _kill_workers_and_guards(estate: Estate, _: Random) -> int:
    return estate.signal([*estate.product.pids(FREEZER), *estate.guards()], signal.SIGKILL)


def _kill_forkservers(estate: Estate, _: Random) -> int:
    return estate.signal(estate.forkservers(), signal.SIGKILL)


def _stop(title: str) -> Strike:
    def strike(estate: Estate, _: Random) -> int:
        found = estate.product.pids(title)
        estate.stopped.update(found)
        return estate.signal(found, signal.SIGSTOP)

    return strike


def _wake(estate: Estate) -> None:
    time.sleep(STOPPED_SECONDS)
    estate.resume()


def _flush(estate: Estate, _: Random) -> int:
    with Redis(unix_socket_path=str(estate.broker), socket_timeout=5) as broker:
        found = int(broker.dbsize())
        broker.flushall()
    return found


def _lock(estate: Estate, _: Random) -> int:
    """Hold SQLite's only place for a writer."""
    lite = sqlite3.connect(estate.database, timeout=60, isolation_level=None)
    estate.helpers.callback(lite.close)
    lite.execute("BEGIN EXCLUSIVE")
    return 1


def _unlock(estate: Estate) -> None:
    time.sleep(LOCKED_SECONDS)
    estate.helpers.close()


def _cut(*, towards: bool = True) -> Strike:
    def strike(estate: Estate, _: Random) -> int:
        estate.network.cut(estate.sshd.port, towards=towards)
        return 1

    return strike


def _heal_after(seconds: float) -> Recover:
    def recover(estate: Estate) -> None:
        time.sleep(seconds)
        estate.network.heal()

    return recover


def _kill_connections(estate: Estate, _: Random) -> int:
    return estate.signal(estate.connections(), signal.SIGKILL)


def _kill_supervisor(estate: Estate, _: Random) -> int:
    assert estate.product.process is not None
    hit = estate.signal([estate.product.process.pid], signal.SIGKILL)
    estate.product.process.wait()
    return hit


def _terminate(estate: Estate, _: Random) -> int:
    assert estate.product.process is not None
    return estate.signal([estate.product.process.pid], signal.SIGTERM)


def _start_again(estate: Estate) -> None:
    """Wait until the server has ended in order, and start the next one."""
    assert estate.product.process is not None
    estate.product.process.wait(120)
    estate.restart()


def _aws(action: str, kind: FaultKind, times: int) -> Strike:
    """Let the next calls go wrong, so many of them."""

    def strike(estate: Estate, _: Random) -> int:
        estate.product.aws.fault(action, kind, times=times)
        return times

    return strike


def _aws_recovers(estate: Estate) -> None:
    time.sleep(TROUBLE_SECONDS)
    estate.product.aws.clear_faults()


def _trouble(
    name: str, action: str, kind: FaultKind, times: int, costs: frozenset[End] = frozenset()
) -> Fault:
    return Fault(name, _aws(action, kind, times), _aws_recovers, costs=costs, spares=True)


FAULTS = (
    Fault(
        "SIGKILL of the freeze worker",
        _kill(FREEZER),
        weight=2,
        costs=THAWED_BY_GUARD,
        promised=1.0,
    ),
    Fault("SIGKILL of the work worker", _kill(WORKER), weight=2),
    Fault("SIGKILL of the tick worker", _kill(TICKER)),
    Fault("SIGKILL of beat", _kill("n2wbackup beat")),
    Fault("SIGKILL of the watchdog", _kill("n2wbackup watchdog"), weight=2),
    Fault("SIGKILL of web", _kill("n2wbackup web")),
    Fault("SIGKILL of the broker", _kill("n2wbackup broker"), weight=2),
    Fault("SIGKILL of the forkservers", _kill_forkservers),
    Fault("SIGKILL of a guard", _kill_a_guard, weight=3, costs=ANYTHING),
    Fault(
        "SIGKILL of the freeze worker and all guards",
        _kill_workers_and_guards,
        costs=ANYTHING,
        promised=10.0,
    ),
    Fault(
        "everything killed, memory lost, then a start",
        lambda estate, _: estate.crash(),
        Estate.restart,
        costs=ANYTHING,
        promised=5.0,
    ),
    Fault("SIGKILL of the supervisor, then a second server", _kill_supervisor, Estate.restart),
    Fault("SIGTERM, then a start", _terminate, _start_again),
    Fault("the freeze worker stands still for 6 s", _stop(FREEZER), _wake, weight=2, spares=True),
    Fault("the work worker stands still for 6 s", _stop(WORKER), _wake, spares=True),
    Fault("the tick worker stands still for 6 s", _stop(TICKER), _wake, spares=True),
    Fault("the watchdog stands still for 6 s", _stop("n2wbackup watchdog"), _wake, spares=True),
    Fault("Valkey is flushed", _flush, weight=2, spares=True),
    Fault("SQLite is locked for 5 s", _lock, _unlock, weight=2, spares=True),
    Fault(
        "the network to the instances is cut for 15 s",
        _cut(),
        _heal_after(CUT_SECONDS),
        weight=2,
        costs_there=frozenset({LATE}),
        spares=True,
    ),
    Fault(
        "what the instances say is lost for 6 s",
        _cut(towards=False),
        _heal_after(ONE_WAY_SECONDS),
        costs_there=frozenset({LATE}),
        spares=True,
    ),
    Fault(
        "SIGKILL of the connections at the instances",
        _kill_connections,
        costs_there=frozenset({LATE}),
        spares=True,
    ),
    _trouble("AWS throttles instances", "DescribeInstances", "throttle", 10),
    _trouble("AWS throttles snapshots", "CreateSnapshots", "throttle", 6, frozenset({NOTHING})),
    _trouble("AWS answers 503", "CreateSnapshots", "error_503", 2, frozenset({NOTHING})),
    _trouble("AWS hangs for 6 s", "CreateSnapshots", "hang", 2, frozenset({NOTHING})),
    _trouble(
        "AWS's answer is lost after the deed",
        "CreateSnapshots",
        "lost_answer",
        3,
        frozenset({LATE}),
    ),
    _trouble("AWS answers 503 while it is polled", "DescribeSnapshots", "error_503", 2),
    _trouble("AWS refuses the tags", "CreateTags", "denied", 3),
)
BY_NAME = {fault.name: fault for fault in FAULTS}
