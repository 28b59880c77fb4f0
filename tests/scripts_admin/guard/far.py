"""Instances for guard tests: far sides on this machine, behind the product's carrier."""

import base64
import secrets
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from scripts_admin.guard import spool
from scripts_admin.guard.keeper import Guard
from scripts_admin.guard.on_instances import OnInstance, There
from scripts_admin.guard.spool import Record
from scripts_admin.runners import far
from scripts_admin.runners.starting import Answers, Started
from tests.ground import local_carrier
from tests.scripts_admin.guard.stage import SECONDS, SECRET, Stage, until


@dataclass(frozen=True)
class Scripts:
    """The scripts of one far side; they run in the stage's folder."""

    before: str = "true"
    after: str = "true"
    before_seconds: float = SECONDS
    after_seconds: float = SECONDS
    freeze_seconds: float = 60.0


@dataclass
class Distance:
    """The instances of one window."""

    stage: Stage
    scripts: Mapping[str, Scripts]
    carrier: Started = field(init=False)
    answers: Answers = field(init=False)
    nonces: dict[str, str] = field(
        default_factory=lambda: defaultdict(lambda: secrets.token_hex(16))
    )

    def arm(self) -> None:
        """Start the carrier, and wait until each far side stands at its gates or is refused."""
        orders = [self._order(name, each) for name, each in self.scripts.items()]
        document = {"run": "run", "orders": orders}
        self.carrier = Started(local_carrier.PROGRAM, document, list(self.scripts))
        self.answers = self.carrier.answers(SECONDS)

    def _order(self, name: str, scripts: Scripts) -> dict[str, str]:
        order = self.far_order(name, scripts)
        return {
            "instance": name,
            "nonce": self.nonces[name],
            "program": base64.b64encode(far.program(order)).decode(),
            "second": base64.b64encode(far.program(order, "look")).decode(),
        }

    def far_order(self, name: str, scripts: Scripts) -> far.Order:
        folder = shlex.quote(str(self.stage.folder))
        before, after = (
            f"#!/bin/sh\ncd {folder}\n{each}\n".encode() for each in (scripts.before, scripts.after)
        )
        return far.Order(
            self.nonces[name],
            far.Carried("before.sh", before),
            far.Carried("after.sh", after),
            before_timeout=scripts.before_seconds,
            after_timeout=scripts.after_seconds,
            max_freeze=scripts.freeze_seconds,
        )

    def record(self, record: Record | None = None) -> Record:
        return replace(
            record or self.stage.record(),
            instances=tuple(self._of_record(name, each) for name, each in self.scripts.items()),
        )

    def _of_record(self, name: str, scripts: Scripts) -> OnInstance:
        armed = self.answers.armed.get(name)
        return OnInstance(
            name,
            "ssh",
            nonce=self.nonces[name],
            folder=armed.folder if armed else "",
            boot=armed.boot if armed else "",
            before_seconds=scripts.before_seconds,
            after_seconds=scripts.after_seconds,
            armed=armed is not None,
        )

    def guard(self) -> Guard:
        lock = spool.try_lock(self.stage.spooled)
        assert lock is not None
        carried = self.carrier.hand_over(list(self.answers.armed))
        places = self.stage.spooled, self.stage.runtime
        return Guard(*places, lock, (SECRET,), as_itself=True, carriers=[carried])

    def wrappers(self, name: str) -> list[int]:
        """The processes of a far side: its wrapper and what it holds, the wrapper first."""
        return [int(self.answers.armed[name].pid)]

    def there(self, name: str) -> There:
        return self.stage.journal.of(name)


@contextmanager
def guarded(
    stage: Stage, record: Record | None = None, **scripts: Scripts
) -> Iterator[tuple[Guard, Distance]]:
    """Yield a guard whose instances are armed."""
    distance = Distance(stage, scripts)
    distance.arm()
    stage.spool(distance.record(record))
    guard = distance.guard()
    try:
        guard.wait_until_ready()
        yield guard, distance
    finally:
        guard.release()
        until(lambda: not spool.is_held(stage.spooled))
        until(lambda: is_gone(distance.carrier.pid))


def is_gone(pid: int) -> bool:
    """Tell whether the process is gone, or a zombie."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def descriptors(pid: int, kind: str) -> list[str]:
    """Return what a process has open of a kind, such as `socket:`."""
    found = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was open only for this listing
            name = str(each.readlink())
            if name.startswith(kind):
                found.append(name)
    return found
