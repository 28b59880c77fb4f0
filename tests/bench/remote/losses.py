"""(k) Thaws without us: how soon instances thaw when a carrier or a guard is killed, or when nothing is heard."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from scripts_admin.guard import journal, linux, spool
from scripts_admin.guard.keeper import Guard
from scripts_admin.guard.on_instances import OnInstance
from scripts_admin.guard.spool import Record
from scripts_admin.runners import by_ssh, far
from scripts_admin.runners.ssh import Opener
from scripts_admin.runners.wires import Begun as Side
from tests.bench.remote.moments import Take, listen
from tests.bench.remote.place import MANY, Place, Window, armed, place, window

REST_SECONDS = 0.1  # between what is done on one instance and on the next, and before a kill
SILENCE_SECONDS = far.Order("").silence
DEADLINE_SECONDS = 6.0  # before the silence would be noticed
AFTER_SECONDS = 30.0
GONE = 10  # instances of a server that goes for good


@dataclass(frozen=True, slots=True)
class Size:
    """The numbers of carriers and guards that are killed, and of instances that hear nothing more."""

    kills: int
    alone: int


@dataclass(slots=True)
class Measured:
    """Seconds from the loss to after's first statement; of silence, deadline and server, beyond their time.

    `gone`: of how many instances the server went for good; each that has thawed has a value in `server`.
    """

    carrier: list[float] = field(default_factory=list)
    guard: list[float] = field(default_factory=list)
    silence: list[float] = field(default_factory=list)
    deadline: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)
    gone: int = GONE


def measure(size: Size) -> Measured:
    """Lose everything in turn. An instance that does not thaw raises."""
    measured = Measured()
    with place() as at:
        for _ in range(size.kills):
            measured.carrier.append(_carrier_killed(at))
            measured.guard.append(_guard_killed(at))
        measured.silence = _left_alone(at, size.alone, SILENCE_SECONDS)
        measured.deadline = _left_alone(
            at, size.alone, DEADLINE_SECONDS, max_freeze=DEADLINE_SECONDS
        )
        measured.server = _server_gone(at)
    return measured


def _carrier_killed(at: Place) -> float:
    with window(at) as made:
        made.freeze()
        return _killed(at, made.carriers[0].pid)


def _killed(at: Place, pid: int) -> float:
    """Kill a process; return the time until after has begun."""
    time.sleep(REST_SECONDS)
    killed = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    told = at.begun
    listen({told.fileno(): told.take}, lambda: "after-0" in told.at)
    return told.at["after-0"] - killed


def _guard_killed(at: Place) -> float:
    with _guarded(at) as guard:
        guard.go()
        guard.before(AFTER_SECONDS)
        return _killed(at, guard.pid)


@contextmanager
def _guarded(at: Place) -> Iterator[Guard]:
    """Yield a guard, with spool and journal as in a run, whose only instance is armed."""
    made = armed(at, 1)
    with ExitStack() as stack:
        stack.callback(at.begun.forget)
        stack.callback(made.close)
        disk = stack.enter_context(tempfile.TemporaryDirectory(prefix="n2wbackup-bench-"))
        memory = stack.enter_context(tempfile.TemporaryDirectory(prefix="n2w-", dir="/dev/shm"))
        folder, runtime = spool.create(Path(disk), "bench"), Path(memory) / "bench"
        journal.create(runtime)
        spool.write(folder, _record(made, folder))
        lock = spool.try_lock(folder)
        if lock is None:
            raise OSError("the lock of a new spool is held")
        carried = [made.carriers[0].hand_over(list(made.orders))]
        guard = Guard(folder, runtime, lock, as_itself=True, carriers=carried)
        stack.callback(guard.release)
        guard.wait_until_ready()
        yield guard


def _record(made: Window, folder: Path) -> Record:
    instances = [
        OnInstance(
            name,
            "ssh",
            nonce=made.orders[name].nonce,
            folder=each.folder,
            boot=each.boot,
            before_seconds=AFTER_SECONDS,
            after_seconds=AFTER_SECONDS,
        )
        for name, each in made.armed.items()
    ]
    return Record(
        run="bench",
        boot=linux.boot_id(),
        folder=str(folder),
        environment={},
        max_freeze_seconds=AFTER_SECONDS,
        thaw_retry_seconds=AFTER_SECONDS,
        before=None,
        after=None,
        complete=None,
        instances=tuple(instances),
    )


@dataclass(slots=True)
class _Alone:
    """An instance that this process speaks to itself."""

    name: str
    side: Side
    reader: far.Reader
    pongs: list[float] = field(default_factory=list)
    folder: str = ""
    is_frozen: bool = False
    told: float = 0.0  # when `go` was said, our last word

    def take(self, _: float) -> None:
        for word in self.reader.feed(self.side.wire.read()):
            if isinstance(word, far.Ready):
                self.folder = word.folder
            self.is_frozen |= isinstance(word, far.Before)
            if isinstance(word, far.Pong):
                self.pongs.append(word.uptime)

    def ping(self) -> None:
        self.side.wire.send(far.ping(1))

    def go(self) -> None:
        self.told = time.monotonic()
        self.side.wire.send(far.go(self.pongs[-1]))


def _left_alone(at: Place, count: int, seconds: float, **times: float) -> list[float]:
    """Freeze instances one after the other, and say nothing more; return when they thaw, beyond so many seconds."""
    with ExitStack() as stack:
        opener = Opener(min(count, MANY))
        stack.callback(opener.close)
        stack.callback(at.begun.forget)
        sides = [_alone(at, opener, str(number), **times) for number in range(count)]
        for each in sides:
            stack.callback(each.side.close)
        heard: dict[int, Take] = {each.side.wire.fileno(): each.take for each in sides}
        hears = partial(listen, {**heard, at.begun.fileno(): at.begun.take})
        hears(lambda: all(each.folder for each in sides))
        for each in sides:
            _freeze(each, hears)
        names = [f"after-{each.name}" for each in sides]
        hears(lambda: all(name in at.begun.at for name in names))
        for each in sides:
            shutil.rmtree(each.folder, ignore_errors=True)
        told = [each.told for each in sides]
        return [at.begun.at[name] - said - seconds for name, said in zip(names, told, strict=True)]


def _freeze(each: _Alone, hears: Callable[[Callable[[], object]], None]) -> None:
    time.sleep(REST_SECONDS)  # so that they do not all thaw in one moment
    each.ping()
    hears(lambda: each.pongs)
    each.go()
    hears(lambda: each.is_frozen)


def _alone(at: Place, opener: Opener, name: str, **times: float) -> _Alone:
    order = at.order(name, **times)
    side = by_ssh.begin(opener, at.address, at.key, far.program(order))
    return _Alone(name, side, far.Reader(order.nonce))


def _server_gone(at: Place) -> list[float]:
    """Stop a carrier for good, so that no connection ends; return when the instances thaw, beyond their deadline."""
    with window(at, GONE, max_freeze=DEADLINE_SECONDS) as made:
        said = made.freeze()
        os.kill(made.carriers[0].pid, signal.SIGSTOP)
        told = at.begun
        listen({told.fileno(): told.take}, lambda: made.have_begun("after"))
        return [told.at[f"after-{name}"] - said - DEADLINE_SECONDS for name in made.orders]
