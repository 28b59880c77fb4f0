"""(i) The hold of a policy whose scripts run on the instance, by turns with what it stands on and with other ways."""

import random
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from n2wbackup.demo.aws import SimulatedAws, VolumeSpec
from n2wbackup.lib import home as homes
from scripts_admin.runners import ssh
from scripts_admin.runners.addresses import Address, Key
from tests.bench.contestants import Warm
from tests.bench.remote.moments import listen
from tests.bench.scripts import Stamps
from tests.bench.served import environment_of
from tests.ground import processes, sshd

VOLUMES = 4
OPEN_SECONDS = 30.0
REST_SECONDS = 0.05  # so that the after-effects of one turn are over when the next one starts
WARM_UP_ROUNDS = 2
BY_SSH, CALLS_SSH, SHARES, HERE = (
    "n2wbackup, scripts by SSH",
    "n2wbackup, local scripts that call `ssh`",
    "the same, with ControlMaster",
    "n2wbackup, local scripts",
)
POLICIES = {BY_SSH: "far", CALLS_SSH: "calls", SHARES: "shares", HERE: "here"}


@dataclass(frozen=True, slots=True)
class Size:
    """The numbers of rounds, and of those in which `ssh` is called for each script."""

    turns: int
    cold: int


@dataclass(slots=True)
class Measured:
    """Seconds, one value a round: holds by contestant, a byte there and back, CreateSnapshots alone, a start."""

    holds: dict[str, list[float]] = field(default_factory=dict)
    trips: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)

    @property
    def floors(self) -> list[float]:
        """Return what no way by SSH can spare: there, the call, and there."""
        pairs = zip(self.trips, self.calls, strict=True)
        return [trip + call + trip for trip, call in pairs]


@dataclass(slots=True)
class _Field:
    stamps: Stamps
    ours: Warm
    bare: Warm
    echo: ssh.Wire
    after: Path
    measured: Measured


def measure(size: Size) -> Measured:
    """Make all rounds, and clean up. Every failure raises, as a lost round cannot be counted."""
    with _field() as the:
        for _ in range(WARM_UP_ROUNDS):
            for turn in (_floor, *(_run(name) for name in (BY_SSH, SHARES, HERE))):
                turn(the)
        the.measured = Measured({name: [] for name in POLICIES})
        for turns in _order(size):
            for turn in turns:
                the.stamps.clear()
                time.sleep(REST_SECONDS)
                turn(the)
        return the.measured


def _order(size: Size) -> Iterator[list[Callable[[_Field], None]]]:
    for number in range(size.turns):
        turns = [_floor, *(_run(name) for name in (BY_SSH, SHARES, HERE))]
        if number * size.cold // size.turns != (number + 1) * size.cold // size.turns:
            turns.append(_run(CALLS_SSH))
        random.shuffle(turns)
        yield turns


def _run(name: str) -> Callable[[_Field], None]:
    def turn(the: _Field) -> None:
        the.ours.round(POLICIES[name])
        the.measured.holds.setdefault(name, []).append(the.stamps.hold_seconds())

    return turn


def _floor(the: _Field) -> None:
    """Measure what every hold has in it, each by itself."""
    said = time.monotonic()
    the.echo.send(b".")
    got: list[bytes] = []
    listen({the.echo.fileno(): lambda _: got.append(the.echo.read())}, lambda: b"".join(got))
    the.measured.trips.append(time.monotonic() - said)
    the.measured.calls.append(the.bare.round()["call_seconds"])
    the.stamps.clear()
    time.sleep(REST_SECONDS)
    started = time.time()
    subprocess.run([the.after, "1"], check=True)
    the.measured.starts.append(the.stamps.moment("after") - started)


@contextmanager
def _field() -> Iterator[_Field]:
    with ExitStack() as stack:
        home = stack.enter_context(processes.folder("n2wbackup-bench-"))
        stack.callback(shutil.rmtree, homes.runtime_of(home), ignore_errors=True)
        memory = stack.enter_context(tempfile.TemporaryDirectory(prefix="n2w-", dir="/dev/shm"))
        server = stack.enter_context(sshd.running(home / "sshd"))
        stamps = Stamps(Path(memory))
        before, after = _write(home / "scripts/bench", home / "there", stamps, server)
        stack.callback(_end_master, server, home)
        aws = stack.enter_context(_aws(home))
        instance = aws.add_instance(volumes=[VolumeSpec() for _ in range(VOLUMES)]).instance_id
        environment = environment_of(aws, home) | {"N2W_SSH_NETWORKS": "127.0.0.0/8"}
        words = ["--sshd", str(server.config.parent), str(server.port)]
        words += [f"{name}={instance}" for name in POLICIES.values()]
        ours = Warm("tests.bench.engine", words, environment, home / "ours.log")
        given = [str(before), str(after), instance]
        bare = Warm("tests.bench.bare", given, environment, home / "bare.log")
        echo = stack.enter_context(_echo(server))
        made = stack.enter_context(ours), stack.enter_context(bare)
        yield _Field(stamps, *made, echo, after, Measured())


def _write(folder: Path, there: Path, stamps: Stamps, server: sshd.Sshd) -> tuple[Path, Path]:
    """Write the scripts of all policies; return the plain ones, which lie on the instance."""
    plain = stamps.write_scripts(there, "plain")
    stamps.write_scripts(folder, POLICIES[HERE])
    stamps.write_scripts(folder, f"{POLICIES[BY_SSH]}@all")
    master = ["-o", "ControlMaster=auto", "-o", f"ControlPath={there / 'master'}"]
    kept = [*master, "-o", "ControlPersist=600"]
    for name, options in ((CALLS_SSH, []), (SHARES, kept)):
        for phase, path in zip(("before", "after"), plain, strict=True):
            words = ["ssh", "-F", str(server.config), *options, server.host, str(path)]
            script = folder / f"{phase}_{POLICIES[name]}.sh"
            script.write_text(f"#!/bin/bash\nexec {shlex.join(words)}\n", encoding="utf-8")
            script.chmod(0o755)
    return plain


def _end_master(server: sshd.Sshd, home: Path) -> None:
    """End the connection that ControlPersist keeps."""
    path = f"ControlPath={home / 'there' / 'master'}"
    command = ["ssh", "-F", str(server.config), "-o", path, "-O", "exit", server.host]
    subprocess.run(command, check=False, capture_output=True)


@contextmanager
def _aws(home: Path) -> Iterator[SimulatedAws]:
    limits = {"per_volume_interval_seconds": 0, "pending_per_volume": 0}
    with SimulatedAws(home / "aws", pending_seconds=0.1, rate_buckets={}, **limits) as aws:  # type: ignore[arg-type]
        yield aws


@contextmanager
def _echo(server: sshd.Sshd) -> Iterator[ssh.Wire]:
    """Yield `cat` on a warm connection: a byte there and back is the round trip that no way by SSH can spare."""
    address = Address("127.0.0.1", server.port, server.user, (server.host_key,), at="127.0.0.1")
    key = Key((server.key.read_text(encoding="utf-8"),))
    with ssh.open_session(address, key, OPEN_SECONDS) as session:
        yield session.start("exec cat")
