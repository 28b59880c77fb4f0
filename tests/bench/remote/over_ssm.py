"""(l) What a step over SSM takes beyond the delivery, between the product's carrier and an agent as AWS's behaves."""

import json
import os
import random
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from n2wbackup.demo.aws import SimulatedAws
from policies.adapters import ssm_order
from policies.ports import Credentials
from scripts_admin.guard.instances import MOST_BYTES
from scripts_admin.runners import far, ssm_texts
from scripts_admin.runners.starting import Started
from tests.bench.remote.moments import Begun, begun, listen
from tests.bench.remote.place import ARM_SECONDS, WindowError
from tests.bench.request import REGION

# Of the simulated SSM, from SendCommand until the agent starts the script: evenly drawn, as looks come in steps.
DELIVERY_SECONDS = (0.1, 1.1)
WINDOW_SECONDS = 300.0
PHASES = ("before", "after")


@dataclass(slots=True)
class Measured:
    """Seconds by phase, without the delivery: until the script's first statement, and until its end is heard."""

    begun: dict[str, list[float]] = field(default_factory=lambda: {each: [] for each in PHASES})
    heard: dict[str, list[float]] = field(default_factory=lambda: {each: [] for each in PHASES})


def measure(turns: int) -> Measured:
    """Make so many windows, one after the other."""
    measured = Measured()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="n2wbackup-bench-")))
        aws = stack.enter_context(SimulatedAws(folder / "aws", rate_buckets={}))
        stack.enter_context(_environment(aws))
        told = stack.enter_context(begun())
        place = folder / "instance"
        place.mkdir()
        instance = aws.add_instance(REGION, folder=place).instance_id
        for _ in range(turns):
            _window(measured, aws, told, instance)
    return measured


@contextmanager
def _environment(aws: SimulatedAws) -> Iterator[None]:
    """Have this process's AWS be the simulated one for the block: a carrier is given what AWS_ variables there are."""
    kept = dict(os.environ)
    os.environ.update(aws.environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def _window(measured: Measured, aws: SimulatedAws, told: Begun, instance: str) -> None:
    before, after = (far.Carried(f"{phase}.sh", told.script(phase)) for phase in PHASES)
    order = far.Order(os.urandom(16).hex(), before, after)
    texts = {instance: ssm_texts.texts(order)}
    document = ssm_order.document(
        "bench", REGION, Credentials(), order.nonce, texts, window_seconds=WINDOW_SECONDS
    )
    carrier = Started(ssm_order.PROGRAM, document, [instance])
    try:
        refused = carrier.answers(ARM_SECONDS).refused
        if refused:
            raise WindowError(next(iter(refused.values())).why)
        with carrier.hand_over([instance]).socket as guard:
            go: dict[str, object] = {"word": "go", "instances": [instance]}
            thaw: dict[str, object] = {"word": "thaw", "arguments": {instance: "1"}}
            for phase, word in zip(PHASES, (go, thaw), strict=True):
                delivery = random.uniform(*DELIVERY_SECONDS)
                aws.configure(ssm_delivery_seconds=delivery)
                begun_at, heard_at = _step(told, guard, phase, word)
                measured.begun[phase].append(begun_at - delivery)
                measured.heard[phase].append(heard_at - delivery)
    finally:
        told.forget()
        carrier.close()
        shutil.rmtree(f"/dev/shm/n2w-{order.nonce}{instance}", ignore_errors=True)


def _step(
    told: Begun, guard: socket.socket, phase: str, word: dict[str, object]
) -> tuple[float, float]:
    """Say a word; return the times until the script has begun, and until its end is heard."""
    heard: list[float] = []

    def hear(now: float) -> None:
        text = guard.recv(MOST_BYTES)
        said = json.loads(text) if text else {"word": "gone", "why": "its carrier has died"}
        if said["word"] in {"gone", "lost", "refused"}:
            raise WindowError(f"The instance of the bench is lost: {said['why']}")
        if said["word"] == phase:
            heard.append(now)

    at = time.monotonic()
    guard.send(json.dumps(word).encode())
    sources = {guard.fileno(): hear, told.fileno(): told.take}
    listen(sources, lambda: heard and phase in told.at)
    return told.at[phase] - at, heard[0] - at
