"""The carrier: a process that holds the connections of a window, and says and hears for its guard.

It is executed, so it has no descriptor of another process, and it starts none: when it dies, or its guard does, its
connections close at once, and the far sides thaw by themselves. It runs one loop, and nothing in it waits for one
instance. It uses no file, no database and no log.
"""

import json
import os
import selectors
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from setproctitle import setproctitle

from scripts_admin.guard import linux
from scripts_admin.guard.instances import MOST_BYTES

IDLE_SECONDS = 0.5
Word = Mapping[str, object]
Say = Callable[..., None]


class Runner(Protocol):
    """Reaches some instances, in whatever way. No method waits, and none raises.

    `say` takes what an instance has told: word=, instance=, and what belongs to the word.
    """

    def begin(self, selector: selectors.BaseSelector, say: Say) -> None:
        """Start to arm them; each is then told as `ready` or `refused`. A descriptor's data is what it calls."""

    def go(self, instances: Sequence[str]) -> None:
        """Let before go on these instances: one that was ready too late is in no record, and nobody would thaw it."""

    def thaw(self, arguments: Mapping[str, str]) -> None:
        """Order after on these instances, with these arguments."""

    def fetch(self, instances: Sequence[str]) -> None:
        """Tell what the scripts there have printed: `out` words, then one `fetched`."""

    def bye(self) -> None:
        """Close every gate: nothing ran."""

    def tick(self, now: float) -> float:
        """Do what is due; return the boot time of what is due next."""

    def close(self) -> None:
        """End the connections at once."""


class Carrier:
    """The loop between a guard and a runner."""

    def __init__(self, guard: socket.socket, runner: Runner) -> None:
        """Nothing is opened yet."""
        self._guard, self._runner = guard, runner
        self._selector = selectors.DefaultSelector()
        self._over = False

    def carry(self) -> None:
        """Carry until the guard's end of the socket closes."""
        self._selector.register(self._guard.fileno(), selectors.EVENT_READ, self._hear)
        try:
            self._runner.begin(self._selector, self._say)
            while not self._over:
                next_at = self._runner.tick(linux.boottime())
                wait = min(IDLE_SECONDS, max(0.0, next_at - linux.boottime()))
                for key, _ in self._selector.select(wait):
                    key.data(key.fd)
        finally:
            self._runner.close()

    def _say(self, **word: object) -> None:
        try:
            self._guard.send(json.dumps(word).encode())
        except OSError:  # the guard is gone: so must be the connections
            self._over = True

    def _hear(self, _: int) -> None:
        try:
            text = self._guard.recv(MOST_BYTES)
        except OSError:
            text = b""
        if not text:
            self._over = True
            return
        with suppress(AttributeError, KeyError, TypeError, ValueError):
            self._obey(json.loads(text))

    def _obey(self, word: dict[str, Any]) -> None:
        match word["word"]:
            case "go":
                self._runner.go([str(each) for each in word["instances"]])
            case "thaw":
                self._runner.thaw({str(k): str(v) for k, v in word["arguments"].items()})
            case "fetch":
                self._runner.fetch([str(each) for each in word["instances"]])
            case "bye":
                self._runner.bye()


def settle_in(run: str) -> None:
    """Ignore the signals that would end this process, and show whose it is."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    setproctitle(f"n2wbackup carrier {run}")


def leave() -> None:
    """End without waiting for a thread: the kernel closes what is still open."""
    os._exit(0)
