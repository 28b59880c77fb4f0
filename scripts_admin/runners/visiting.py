"""Second sessions: instances whose first one was lost are asked what became of them, until each has told.

Whoever is asked and has no living wrapper thaws then, once, under its own lock: see `look` in wrapper.sh. Each
instance has a thread, so a dead address delays nobody. What is heard is written into memory as it comes; nothing here
uses a database or a disk.
"""

import base64
import os
import selectors
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from scripts_admin.guard import linux
from scripts_admin.guard.capture import Capture
from scripts_admin.guard.journal import Writer
from scripts_admin.guard.on_instances import MOST_OUTPUTS, There
from scripts_admin.runners import far
from scripts_admin.runners.far import Out, Over, Refused, Word
from scripts_admin.runners.sessions import PING_SECONDS
from scripts_admin.runners.telling import in_words, pieces
from scripts_admin.runners.wires import Begun, Wire

PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
OUTPUT_SECONDS = 10.0
FIRST_WORD_SECONDS = 20.0
QUIET_SECONDS = (
    60.0  # a far side that says no more may have been stopped: to ask it anew harms nothing
)
_LOOK_SECONDS = 0.5
_HURRY = "hurry"


def hurry(runtime: Path) -> None:
    """Have every instance of a run that waits for its next try asked at once: a person wants to know."""
    with suppress(OSError):
        (runtime / _HURRY).touch(mode=0o600)
        os.utime(runtime / _HURRY)


@dataclass(frozen=True, slots=True)
class Visit:
    """One instance to ask. `begin` opens a session and starts the far side's program there, or raises why it cannot."""

    instance: str
    nonce: str
    begin: Callable[[], Begun] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One instance to ask where there is no session, as over SSM.

    `ask` has the far side's program run there, and returns all that it said, or raises why it cannot. It gives up
    soon after what it is given says that nobody wants to know any more.
    """

    instance: str
    ask: Callable[[Callable[[], bool]], Sequence[Word]] = field(repr=False)


class Visitor:
    """Asks the instances of one run."""

    def __init__(
        self,
        runtime: Path,
        is_wanted: Callable[[], bool],
        secrets: Sequence[bytes] = (),
        *,
        once: bool = False,
    ) -> None:
        """`is_wanted` tells whether anybody wants to know; `secrets` are masked in outputs. `once`: no second try."""
        self._pauses: Callable[[], Iterable[float]] = (lambda: (0.0,)) if once else _pauses
        self._journal = Writer.of_visits(runtime)
        self._hurry = runtime / _HURRY
        self._is_wanted, self._secrets = is_wanted, secrets
        self._writing = threading.Lock()
        self._known: dict[str, There] = {}  # what was written of each instance: it is written once

    def visit(self, visits: Sequence[Visit | Inquiry]) -> None:
        """Return when every instance has told that it is over, or nobody wants to know any more."""
        threads = [threading.Thread(target=self._until_over, args=(each,)) for each in visits]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _until_over(self, visit: Visit | Inquiry) -> None:
        for pause in self._pauses():
            if not self._waits(pause) or self._is_over_after(visit):
                return

    def _waits(self, seconds: float) -> bool:
        """Wait, at most until a person is in a hurry; False as soon as nobody wants to know any more."""
        until, hurried = linux.boottime() + seconds, self._hurried()
        while self._is_wanted():
            left = until - linux.boottime()
            if left <= 0 or self._hurried() != hurried:
                return True
            time.sleep(min(_LOOK_SECONDS, left))
        return False

    def _hurried(self) -> int:
        with suppress(OSError):
            return self._hurry.stat().st_mtime_ns
        return 0

    def _is_over_after(self, visit: Visit | Inquiry) -> bool:
        """Ask once; tell whether it is over. That it is over is written last: with it, all that it printed is there."""
        over = self._told(visit) if isinstance(visit, Inquiry) else self._asked(visit)
        if over is not None:
            self._take(visit, over)
        return over is not None

    def _told(self, visit: Inquiry) -> Over | None:
        """Take all that an instance said in one go; return its last word."""
        over: Over | None = None
        try:
            words = visit.ask(self._is_wanted)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next try follows
            self._failed(visit, error)
            return None
        for word in words:
            if isinstance(word, Over):
                over = word
            elif not (isinstance(word, Out) and word.phase == "end"):
                self._take(visit, word)
        return over

    def _asked(self, visit: Visit) -> Over | None:
        over: Over | None = None
        for _ in range(2):  # a far side that thawed in this very session prints nothing more in it
            try:
                begun = visit.begin()
            except Exception as error:  # noqa: BLE001 - as above
                self._failed(visit, error)
                break
            try:
                found, is_whole = self._follow(visit, begun.wire)
            finally:
                begun.close()
            over = over or found
            if over is None or is_whole:
                break
        return over

    def _failed(self, visit: Visit | Inquiry, error: Exception) -> None:
        self._note("visited", instance=visit.instance, why=str(error))

    def _follow(self, visit: Visit, wire: Wire) -> tuple[Over | None, bool]:
        """Write down what the far side tells; return its last word, and whether all its outputs came."""
        over: Over | None = None
        until = linux.boottime() + FIRST_WORD_SECONDS
        for word in self._words(visit, wire):
            if isinstance(word, Over):
                over, until = word, linux.boottime() + OUTPUT_SECONDS
                wire.send(far.FETCH)
            elif isinstance(word, Out) and word.phase == "end":
                wire.send(far.BYE)
                return over, True
            elif word is not None:
                until = until if over else linux.boottime() + QUIET_SECONDS
                self._take(visit, word)
            if linux.boottime() >= until:
                break
        return over, False

    def _take(self, visit: Visit | Inquiry, word: Word) -> None:
        if isinstance(word, Out):
            self._output(visit, word)
        elif not isinstance(
            word, Refused
        ):  # whoever is refused here is not the one that runs there
            said, known = in_words(word), self._of(visit)
            if said and known.is_news(said):
                known.take(said, 0.0, 0.0)
                self._note("heard there", instance=visit.instance, **said)

    def _of(self, visit: Visit | Inquiry) -> There:
        return self._known.setdefault(visit.instance, There(visit.instance))

    def _words(self, visit: Visit, wire: Wire) -> Iterator[Word | None]:
        """Yield what the far side says, and None at times."""
        reader = far.Reader(visit.nonce)
        for data in self._heard(wire):
            yield from reader.feed(data)
            yield None

    def _heard(self, wire: Wire) -> Iterator[bytes]:
        """Yield what comes, and nothing at times, until the wire is over; show that we live meanwhile."""
        pings, next_ping = 0, linux.boottime()
        with selectors.DefaultSelector() as selector:
            selector.register(wire.fileno(), selectors.EVENT_READ)
            while self._is_wanted():
                if linux.boottime() >= next_ping:
                    pings, next_ping = pings + 1, linux.boottime() + PING_SECONDS
                    if not wire.send(far.ping(pings)):
                        return
                selector.select(_LOOK_SECONDS)
                is_over = wire.is_over
                data = wire.read()
                wire.read_errors()
                yield data
                if is_over and not data:
                    return

    def _output(self, visit: Visit | Inquiry, word: Out) -> None:
        name = f"{word.phase}.{word.attempt}.{word.stream}"
        known = self._of(visit).outputs
        if name in known or len(known) >= MOST_OUTPUTS:
            return
        capture = Capture(self._secrets)
        for piece in pieces(word):
            capture.feed(base64.b64decode(piece))
        known[name] = ""
        self._note("output there", instance=visit.instance, stream=name, text=capture.text())

    def _note(self, event: str, **values: object) -> None:
        with self._writing:
            self._journal.note(event, **values)


def _pauses() -> Iterator[float]:
    yield from PAUSES
    while True:
        yield PAUSES[-1]
