"""Instances for the bench: far sides behind a real sshd of this machine, and the product's carriers in between."""

import json
import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from scripts_admin.guard.instances import MOST_BYTES, Carried
from scripts_admin.runners import by_ssh, far
from scripts_admin.runners.addresses import Address, Key
from scripts_admin.runners.starting import BY_SSH, Armed, Started
from tests.bench.remote.moments import Begun, begun, listen
from tests.ground import processes, sshd

ARM_SECONDS = 45.0
PER_CARRIER = 25  # as in policies.services.window.reaching, which needs Django
MANY = 200  # sshd turns logins away beyond so many at once


class WindowError(Exception):
    """A window could not be made as the bench needs it; the text says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """An sshd, and the pipe through which scripts tell that they begin."""

    server: sshd.Sshd
    begun: Begun

    @property
    def address(self) -> Address:
        of = self.server
        return Address("127.0.0.1", of.port, of.user, (of.host_key,), at="127.0.0.1")

    @property
    def key(self) -> Key:
        return Key((self.server.key.read_text(),))

    def order(self, name: str, **times: float) -> far.Order:
        """Return an order whose scripts tell that they begin, as `before-NAME` and `after-NAME`."""
        before, after = (
            far.Carried(f"{phase}.sh", self.begun.script(f"{phase}-{name}"))
            for phase in ("before", "after")
        )
        return far.Order(secrets.token_hex(16), before, after, **times)  # type: ignore[arg-type]


@dataclass(slots=True)
class Window:
    """Armed instances, and the guard's end of their carriers' sockets."""

    begun: Begun
    orders: dict[str, far.Order]
    carriers: list[Started]
    armed: dict[str, Armed]
    carried: list[Carried]
    heard: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    said: int = 0  # words to instances

    def say(self, word: str, **more: object) -> float:
        """Say a word to all carriers; return when."""
        text = json.dumps({"word": word, **more}).encode()
        at = time.monotonic()
        for each in self.carried:
            each.socket.send(text)
        self.said += len(self.orders)
        return at

    def go(self) -> float:
        return self.say("go", instances=list(self.orders))

    def thaw(self) -> float:
        return self.say("thaw", arguments=dict.fromkeys(self.orders, "1"))

    def freeze(self) -> float:
        """Run before everywhere; return when it was said."""
        said = self.go()
        self.wait(lambda: len(self.when("before")) == len(self.orders))
        return said

    def when(self, word: str) -> dict[str, float]:
        """Return when each instance was first heard to say this."""
        return {each["instance"]: at for at, each in reversed(self.heard) if each["word"] == word}

    def wait(self, until: Callable[[], object]) -> None:
        """Hear, until that holds."""
        sources = {each.socket.fileno(): self._hears(each.socket) for each in self.carried}
        listen({**sources, self.begun.fileno(): self.begun.take}, until)

    def have_begun(self, phase: str) -> bool:
        return all(f"{phase}-{name}" in self.begun.at for name in self.orders)

    def _hears(self, of: socket.socket) -> Callable[[float], None]:
        def take(now: float) -> None:
            text = of.recv(MOST_BYTES)
            word = json.loads(text) if text else {"word": "gone", "why": "its carrier has died"}
            if word["word"] in {"gone", "refused"}:
                raise WindowError(f"An instance of the bench is lost: {word['why']}")
            self.heard.append((now, word))

        return take

    def close(self) -> None:
        """End it: the carriers end, and so does what they hold."""
        for carried in self.carried:
            carried.socket.close()
        for carrier in self.carriers:
            carrier.close()
            with suppress(ProcessLookupError):
                os.kill(carrier.pid, signal.SIGCONT)
        for each in self.armed.values():
            shutil.rmtree(each.folder, ignore_errors=True)  # the far side keeps it for a day


@contextmanager
def place() -> Iterator[Place]:
    """Run an sshd for the block."""
    with (
        processes.folder("n2wbackup-bench-") as folder,
        begun() as told,
        sshd.running(folder, [f"MaxStartups {MANY}"]) as server,
    ):
        yield Place(server, told)


@contextmanager
def window(at: Place, count: int = 1, **times: float) -> Iterator[Window]:
    """Yield a window of so many instances, each at its gates; at the end everything of it is gone."""
    made = armed(at, count, **times)
    made.carried = [
        each.hand_over(names)
        for each, names in zip(made.carriers, _shares(list(made.orders)), strict=True)
    ]
    try:
        yield made
    finally:
        made.close()
        at.begun.forget()


def armed(at: Place, count: int, **times: float) -> Window:
    """Return a window of so many instances at their gates, whose carriers nobody has taken over."""
    orders = {name: at.order(name, **times) for name in map(str, range(count))}
    made = Window(at.begun, orders, [], {}, [])
    shares = _shares(list(orders))
    for names in shares:
        document = by_ssh.document("bench", [_ordered(at, each, orders[each]) for each in names])
        made.carriers.append(Started(BY_SSH, document, names))
    for carrier in made.carriers:
        answers = carrier.answers(ARM_SECONDS)
        made.armed |= answers.armed
        if answers.refused:
            made.close()
            raise WindowError(next(iter(answers.refused.values())).why)
    return made


def _shares(names: list[str]) -> list[list[str]]:
    return [names[start : start + PER_CARRIER] for start in range(0, len(names), PER_CARRIER)]


def _ordered(at: Place, name: str, order: far.Order) -> dict[str, Any]:
    programs = far.program(order), far.program(order, "look")
    return by_ssh.order(name, order.nonce, *programs, at.address, at.key)
