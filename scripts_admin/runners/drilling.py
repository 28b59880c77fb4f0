"""A drill of one instance: two scripts that do nothing are armed and let go, and the connection is cut on purpose.

A second session asks who began the thaw. Nothing is frozen, and no script of a folder runs. Nothing is left on the
instance but its tombstone. If the second session finds that nobody lives, what thaws then does nothing, and is named.
"""

import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from scripts_admin.runners import far
from scripts_admin.runners.far import (
    Before,
    Carried,
    Look,
    Over,
    Pong,
    Ready,
    Refused,
    Second,
    Word,
)
from scripts_admin.runners.refusals import RefusedError
from scripts_admin.runners.wires import Begun

BACK_SECONDS = 15.0  # how soon after the cut an instance must have thawed by itself
ANSWER_SECONDS = 10.0  # for each word
_PAUSE_SECONDS = 1.0
_LOOK_SECONDS = 0.5
_NOTHING = b"#!/bin/sh\nexit 0\n"
LOST = "its connection was lost before anything was cut"
SILENT = "it did not answer in time"
W = TypeVar("W", bound=Word)


@dataclass(frozen=True, slots=True)
class Drilled:
    """What a second session heard: who began the thaw, "" if nobody has; and in what state it found the first one."""

    by: str = ""
    state: str = ""


class NotDrilledError(Exception):
    """Nothing was armed on the instance; the text ends a sentence."""


def order(nonce: str) -> far.Order:
    """Return an order whose scripts do nothing."""
    return far.Order(
        nonce,
        Carried("before_drill@all.sh", _NOTHING),
        Carried("after_drill@all.sh", _NOTHING),
        before_timeout=ANSWER_SECONDS,
        after_timeout=ANSWER_SECONDS,
        gate=60.0,
        retry=60.0,
    )


def drill(of: far.Order, begin: Callable[[bytes], Begun]) -> Drilled:
    """Drill one instance, in less than a minute. `begin` opens a session of its own and starts a program on it.

    Raises NotDrilledError if nothing could be armed, and what `begin` raises.
    """
    begun = begin(far.program(of))
    try:
        ready = _let_go(_Talk(begun, of.nonce))
    finally:
        begun.close()  # the cut, while it counts as frozen
    second = Second(ready.folder, ready.boot, urge=False, absent="tombstone", wait=BACK_SECONDS)
    return _come_back(of, begin, far.program(of, "look", second))


def _let_go(talk: "_Talk") -> Ready:
    ready = talk.hears(Ready)
    talk.say(far.ping(1))
    talk.say(far.go(talk.hears(Pong).uptime))
    talk.hears(Before)
    return ready


def _come_back(of: far.Order, begin: Callable[[bytes], Begun], look: bytes) -> Drilled:
    """Ask, again and again if no session can be opened, until the time is over."""
    until = time.monotonic() + BACK_SECONDS
    while True:
        try:
            return _asked(begin(look), of.nonce, until + ANSWER_SECONDS)
        except RefusedError:
            if time.monotonic() >= until:
                raise
            time.sleep(_PAUSE_SECONDS)


def _asked(begun: Begun, nonce: str, until: float) -> Drilled:
    talk, state = _Talk(begun, nonce), ""
    try:
        while (word := talk.next(until)) is not None:
            if isinstance(word, Look):
                state = word.state
            elif isinstance(word, Over):
                talk.say(far.BYE)
                return Drilled(word.by, state)
        return Drilled(state=state)
    finally:
        begun.close()


class _Talk:
    """A far side that is spoken to, and heard word by word."""

    def __init__(self, begun: Begun, nonce: str) -> None:
        self._begun, self._reader = begun, far.Reader(nonce)
        self._words: list[Word] = []

    def say(self, line: bytes) -> None:
        if not self._begun.wire.send(line):
            raise NotDrilledError(LOST)

    def hears(self, kind: type[W]) -> W:
        """Return the next word of this kind; NotDrilledError if it refuses, ends or says nothing."""
        until = time.monotonic() + ANSWER_SECONDS
        while (word := self.next(until)) is not None:
            if isinstance(word, kind):
                return word
            if isinstance(word, Refused):
                raise NotDrilledError(word.why)
        if self._begun.wire.is_over or kind is Ready:
            raise NotDrilledError(self._begun.why_not(self._reader.rest()))
        raise NotDrilledError(SILENT)

    def next(self, until: float) -> Word | None:
        """Return the next word; None once it is over, or too late."""
        wire = self._begun.wire
        while not self._words:
            left = until - time.monotonic()
            if left <= 0:
                return None
            select.select([wire.fileno()], [], [], min(left, _LOOK_SECONDS))
            is_over = wire.is_over
            self._words += self._reader.feed(wire.read())
            wire.read_errors()
            if is_over and not self._words:
                return None
        return self._words.pop(0)
