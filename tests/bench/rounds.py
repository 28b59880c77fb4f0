"""Measure all contestants on one machine, with one simulated AWS, in turns within one run."""

import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from n2wbackup.demo.aws import SimulatedAws, VolumeSpec
from n2wbackup.lib import home as homes
from tests.bench.contestants import Shell, Warm
from tests.bench.scripts import Stamps
from tests.bench.served import environment_of

VOLUMES = 4
INSTANCES = 10
LATENCY_SECONDS = 0.3
WARM_UP_ROUNDS = 3
REST_SECONDS = 0.05  # so that the after-effects of one contestant are over when the next one starts
OURS, BARE, SHELL = "n2wbackup", "bare warm boto3", "shell script, aws CLI"


@dataclass(frozen=True, slots=True)
class Size:
    """The numbers of rounds: of the product and of bare boto3, of the shell script, of the policy of many instances."""

    turns: int
    aws_cli: int
    many: int


@dataclass(slots=True)
class Measured:
    """The results in seconds, one value per round.

    `holds`: by contestant, as the scripts measured it. `engine`: the product's, as the engine measured it.
    `services`: the simulated AWS's time for the product's calls.
    `many_*`: the policy of many instances; `many_slowest` is the slowest call's service time.
    """

    holds: dict[str, list[float]] = field(default_factory=dict)
    engine: list[float] = field(default_factory=list)
    services: list[float] = field(default_factory=list)
    many_holds: list[float] = field(default_factory=list)
    many_slowest: list[float] = field(default_factory=list)

    @property
    def net(self) -> list[float]:
        """Return the product's holds less the time of the simulated AWS."""
        return [hold - took for hold, took in zip(self.holds[OURS], self.services, strict=True)]


@dataclass(slots=True)
class _Field:
    aws: SimulatedAws
    stamps: Stamps
    ours: Warm
    bare: Warm
    shell: Shell
    measured: Measured = field(default_factory=Measured)


def measure(size: Size) -> Measured:
    """Make all rounds, and clean up. Every failure raises, as a lost round cannot be counted."""
    with _field() as the:
        for _ in range(WARM_UP_ROUNDS):
            for name in (OURS, BARE):
                _turn(the, name)
        the.measured = Measured(holds={OURS: [], BARE: [], SHELL: []})
        for names in _order(size):
            for name in names:
                _turn(the, name)
        the.aws.configure(latency_seconds={"CreateSnapshots": LATENCY_SECONDS})
        for number in range(1 + size.many):
            _many(the, counts=number > 0)
        return the.measured


def _order(size: Size) -> Iterator[list[str]]:
    """Yield the turns of each round in a shuffled order; the shell script joins now and then."""
    for number in range(size.turns):
        names = [OURS, BARE]
        if number * size.aws_cli // size.turns != (number + 1) * size.aws_cli // size.turns:
            names.append(SHELL)
        random.shuffle(names)
        yield names


def _turn(the: _Field, name: str) -> None:
    the.stamps.clear()
    the.aws.forget_calls()
    time.sleep(REST_SECONDS)
    if name == OURS:
        the.measured.engine.append(the.ours.round("one")["hold_seconds"])
        the.measured.services += _services(the.aws)
    elif name == BARE:
        the.bare.round()
    else:
        the.shell.round()
    the.measured.holds.setdefault(name, []).append(the.stamps.hold_seconds())


def _many(the: _Field, *, counts: bool) -> None:
    the.stamps.clear()
    the.aws.forget_calls()
    the.ours.round("many")
    if not counts:
        return
    services = _services(the.aws)
    if len(services) != INSTANCES:
        message = f"{len(services)} calls were made for {INSTANCES} instances."
        raise RuntimeError(message)
    the.measured.many_holds.append(the.stamps.hold_seconds())
    the.measured.many_slowest.append(max(services))


def _services(aws: SimulatedAws) -> list[float]:
    """Return the simulated AWS's time for each CreateSnapshots call."""
    calls = aws.calls("CreateSnapshots")
    return [call.service_seconds for call in calls if not call.dry_run]


@contextmanager
def _field() -> Iterator[_Field]:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="n2wbackup-bench-")))
        stack.callback(shutil.rmtree, homes.runtime_of(home), ignore_errors=True)
        memory = stack.enter_context(tempfile.TemporaryDirectory(prefix="n2w-", dir="/dev/shm"))
        stamps = Stamps(Path(memory))
        scripts = stamps.write_scripts(home / "scripts/bench", "one")
        stamps.write_scripts(home / "scripts/bench", "many")
        aws = stack.enter_context(
            SimulatedAws(
                home / "aws",
                pending_seconds=0.1,
                rate_buckets={},
                per_volume_interval_seconds=0,
                pending_per_volume=0,
            )
        )
        one = _instances(aws, 1)[0]
        many = ",".join(_instances(aws, INSTANCES))
        environment = environment_of(aws, home)
        ours = Warm(
            "tests.bench.engine", [f"one={one}", f"many={many}"], environment, home / "ours.log"
        )
        bare = Warm("tests.bench.bare", [*map(str, scripts), one], environment, home / "bare.log")
        shell = Shell(home, scripts, one, environment)
        yield _Field(aws, stamps, stack.enter_context(ours), stack.enter_context(bare), shell)


def _instances(aws: SimulatedAws, count: int) -> list[str]:
    volumes = [VolumeSpec() for _ in range(VOLUMES)]
    return [aws.add_instance(volumes=volumes).instance_id for _ in range(count)]
