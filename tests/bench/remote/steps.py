"""(j) A step on an instance against other ways to run a script there, and how windows of many instances go."""

import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from scripts_admin.runners import ssh
from scripts_admin.runners.ssh import Session
from tests.bench import processes
from tests.bench.remote.moments import Take, listen
from tests.bench.remote.place import Place, Window, place, window

REST_SECONDS = 0.2
OPEN_SECONDS = 30.0
TEN, HUNDRED = 10, 100
PHASES = ("before", "after")
OURS, EXEC, SHARED, COLD, LOCAL = (
    "n2wbackup",
    "paramiko exec, warm",
    "`ssh` by ControlMaster",
    "`ssh`, cold",
    "the same script, locally",
)


@dataclass(frozen=True, slots=True)
class Size:
    """The numbers of turns of one instance, of cold ssh, of ten instances, of a hundred."""

    turns: int
    cold: int
    ten: int
    hundred: int


@dataclass(slots=True)
class Measured:
    """Seconds: by contestant and phase, from the order to the script's first statement, and until its end is heard.

    `thawing`: until the far side is heard to have begun the thaw. `echo`: a byte there and back. `first_to_last`:
    between the first and the last of ten thaws heard. `cpu_per_word`: of the carriers of a hundred.
    """

    begun: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    ended: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    thawing: list[float] = field(default_factory=list)
    echo: list[float] = field(default_factory=list)
    first_to_last: list[float] = field(default_factory=list)
    cpu_per_word: list[float] = field(default_factory=list)

    def enter(self, who: str, phase: str, begun: float, ended: float) -> None:
        self.begun.setdefault(who, {}).setdefault(phase, []).append(begun)
        self.ended.setdefault(who, {}).setdefault(phase, []).append(ended)


@dataclass(slots=True)
class _Field:
    at: Place
    session: Session
    scripts: dict[str, Path]
    master: Path  # the socket that ControlMaster keeps
    measured: Measured


def measure(size: Size) -> Measured:
    """Take turns with one instance, then look at ten and at a hundred."""
    with _field() as the:
        for turns in _order(size):
            for turn in turns:
                time.sleep(REST_SECONDS)
                turn(the)
        for _ in range(size.ten):
            the.measured.first_to_last.append(_ten(the.at))
        for _ in range(size.hundred):
            the.measured.cpu_per_word.append(_hundred(the.at))
        return the.measured


def _order(size: Size) -> Iterator[list[Callable[[_Field], None]]]:
    for number in range(size.turns):
        turns: list[Callable[[_Field], None]] = [_ours, _exec, _shared, _local, _echo]
        if number * size.cold // size.turns != (number + 1) * size.cold // size.turns:
            turns.append(_cold)
        random.shuffle(turns)
        yield turns


def _ours(the: _Field) -> None:
    with window(the.at) as made:
        made.wait(lambda: len(made.armed) == 1)
        time.sleep(REST_SECONDS)
        said = made.freeze()
        made.wait(lambda: made.have_begun("before"))
        _enter(the, made, "before", said)
        time.sleep(REST_SECONDS)
        said = made.thaw()
        made.wait(lambda: made.have_begun("after") and made.when("over"))
        _enter(the, made, "after", said)
        the.measured.thawing.append(made.when("thawing")["0"] - said)


def _enter(the: _Field, made: Window, phase: str, said: float) -> None:
    begun, ended = made.begun.at[f"{phase}-0"], made.when(phase)["0"]
    the.measured.enter(OURS, phase, begun - said, ended - said)


def _exec(the: _Field) -> None:
    for phase in PHASES:
        said = time.monotonic()
        wire = the.session.start(str(the.scripts[phase]))
        ended: list[float] = []
        _heard(the, EXEC, phase, said, wire.fileno(), partial(_hear, wire, ended), ended)
        wire.close()


def _hear(wire: ssh.Wire, ended: list[float], now: float) -> None:
    wire.read()
    if wire.is_over:
        ended.append(now)


def _shared(the: _Field) -> None:
    _by_command(the, SHARED, ["-o", f"ControlPath={the.master}"])


def _cold(the: _Field) -> None:
    _by_command(the, COLD, ["-o", "ControlPath=none"])


def _by_command(the: _Field, who: str, options: list[str]) -> None:
    of = the.at.server
    for phase in PHASES:
        words = ["ssh", "-F", str(of.config), *options, of.host, str(the.scripts[phase])]
        _by_process(the, who, phase, words)


def _local(the: _Field) -> None:
    for phase in PHASES:
        _by_process(the, LOCAL, phase, [str(the.scripts[phase])])


def _by_process(the: _Field, who: str, phase: str, words: list[str]) -> None:
    said = time.monotonic()
    with subprocess.Popen(words, stdin=subprocess.DEVNULL) as process:
        descriptor = os.pidfd_open(process.pid)
        try:
            ended: list[float] = []
            _heard(the, who, phase, said, descriptor, ended.append, ended)
        finally:
            os.close(descriptor)


def _heard(
    the: _Field, who: str, phase: str, said: float, source: int, take: Take, ended: list[float]
) -> None:
    told = the.at.begun
    sources = {source: take, told.fileno(): told.take}
    listen(sources, lambda: ended and phase in told.at)
    the.measured.enter(who, phase, told.at[phase] - said, ended[0] - said)
    told.forget()


def _echo(the: _Field) -> None:
    """Send a byte to `cat` and back, on the warm connection: the round trip that no way by SSH can spare."""
    wire = the.session.start("exec cat")
    got: list[bytes] = []
    sources: dict[int, Take] = {wire.fileno(): lambda _: got.append(wire.read())}
    for number in range(3):  # the first ones come with the start of cat
        got.clear()
        time.sleep(REST_SECONDS)
        said = time.monotonic()
        wire.send(b".")
        listen(sources, lambda: b"".join(got))
        if number:
            the.measured.echo.append(time.monotonic() - said)
    wire.close()


def _ten(at: Place) -> float:
    """Return the time between the first and the last thaw heard of ten instances."""
    with window(at, TEN) as made:
        made.freeze()
        time.sleep(REST_SECONDS)
        made.thaw()
        made.wait(lambda: len(made.when("over")) == TEN)
        heard = made.when("thawing").values()
        return max(heard) - min(heard)


def _hundred(at: Place) -> float:
    """Return the carriers' CPU for each word to or from a hundred instances."""
    with window(at, HUNDRED) as made:
        pids = [carrier.pid for carrier in made.carriers]
        said, heard = made.said, len(made.heard)
        used = sum(processes.cpu_seconds(pids).values())
        made.freeze()
        made.thaw()
        made.wait(lambda: len(made.when("over")) == HUNDRED)
        used = sum(processes.cpu_seconds(pids).values()) - used
        return used / (made.said - said + len(made.heard) - heard)


@contextmanager
def _field() -> Iterator[_Field]:
    with ExitStack() as stack:
        at = stack.enter_context(place())
        folder = at.server.config.parent
        scripts = {phase: at.begun.write(folder, phase) for phase in PHASES}
        session = stack.enter_context(ssh.open_session(at.address, at.key, OPEN_SECONDS))
        master = folder / "master"
        command = ["ssh", "-F", str(at.server.config), "-o", f"ControlPath={master}", "-MN"]
        of_master = subprocess.Popen([*command, at.server.host], stdin=subprocess.DEVNULL)
        stack.callback(of_master.wait)
        stack.callback(of_master.terminate)
        while not master.exists():
            time.sleep(REST_SECONDS)
        yield _Field(at, session, scripts, master, Measured())
