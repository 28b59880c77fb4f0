"""The runner of instances that are reached over a session each: opened, armed, spoken to and heard in one loop.

Sessions are opened by threads, which end before the window opens. From then on this is one loop over descriptors.
"""

import os
import selectors
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue

from scripts_admin.guard import linux
from scripts_admin.runners import far
from scripts_admin.runners.carrier import Say
from scripts_admin.runners.far import Out, Over, Pong, Ready, Refused, Thawing, Word
from scripts_admin.runners.telling import in_words, pieces
from scripts_admin.runners.wires import NOT_YET, Begun, Wire

READY_SECONDS = 10.0
FRESH_SECONDS = 1.0  # a far side's clock that was heard so lately tells until when `go` counts
GATE_PING_SECONDS = 0.5
PING_SECONDS = 2.0  # the far side takes ten seconds of silence for our end
LOST = "its connection was lost"
STUCK_SECONDS = 2.0
NO_CLOCK = "its connection did not answer right before the window"
# A far side says a handful of words, and answers pings. One that says far more must not keep the others waiting.
MOST_WORDS = 512
MOST_OUTPUTS = 16
MOST_BYTES = 4 * 1024 * 1024  # besides its outputs
TOO_MUCH = "it said far more than a far side says"


@dataclass(frozen=True, slots=True)
class Order:
    """What to do on an instance. `begin` starts its far side, within some seconds, or raises why it cannot.

    `more` is what such an error means besides its sentence, as values of JSON.
    """

    instance: str
    nonce: str
    begin: Callable[[], Begun] = field(repr=False)
    more: Callable[[Exception], object] = lambda _: None


class Side:
    """One instance: its session, its wire, and what is known of its clock."""

    def __init__(self, order: Order, say: Say, ask_again: Callable[["Side"], None]) -> None:
        """Nothing is open yet. `ask_again` has `again` called, and its wire given to `replace`."""
        self.order, self._ask_again = order, ask_again
        self._has_asked_again = self._is_thawing = False
        self._told_at = float("inf")
        self._begun = NOT_YET
        self._second: Wire | None = None
        self._say, self._reader = say, far.Reader(order.nonce)
        self.is_armed = self.is_gone = False
        self.started_at = self.next_ping = float("inf")
        self._pong_at, self._clock, self._pings = -1.0, 0.0, 0
        self._go_by: float | None = None  # `go` waits for a pong until then
        self._is_open = self._is_over = self._wants_outputs = False
        self._words, self._outputs, self._bytes = MOST_WORDS, MOST_OUTPUTS, MOST_BYTES

    @property
    def wire(self) -> Wire:
        return self._second or self._begun.wire

    def begin(self, begun: Begun) -> None:
        self._begun, self.started_at = begun, linux.boottime()

    def hear(self) -> None:
        """Take what has come."""
        self._take(self.wire.read())
        is_over = self.wire.is_over
        while is_over and (rest := self.wire.read()):  # nothing more comes, so this ends
            self._take(rest)
        if not self.is_armed:
            return  # its errors belong to the refusal
        self.wire.read_errors()
        if is_over and not self.is_gone:
            self._ended()

    def _ended(self) -> None:
        """Go on where the wire has ended: before it is over, somebody has killed what was at its other end."""
        if self._is_open and not self._is_over and not self._has_asked_again and self.can_ask:
            self._has_asked_again = True
            self._ask_again(self)
        elif not self._has_asked_again or self._second is not None:
            self.lose(LOST)

    @property
    def can_ask(self) -> bool:
        return self._begun.again is not None

    def again(self) -> Wire:
        """Start to ask again; this may take seconds."""
        if self._begun.again is None:
            raise OSError(LOST)
        return self._begun.again()

    def replace(self, wire: Wire) -> None:
        """Hear another wire from now on: it tells everything from the beginning."""
        self._second, self._reader = wire, far.Reader(self.order.nonce)

    def _take(self, data: bytes) -> None:
        if not self._wants_outputs:
            self._bytes -= len(data)
        for word in self._reader.feed(data):
            self._words -= not isinstance(word, Pong | Out)
            if self.is_gone or min(self._words, self._bytes) < 0:
                break
            self._heard(word)
        if min(self._words, self._bytes) < 0 and not self.is_gone:
            self.lose(TOO_MUCH)

    def _heard(self, word: Word) -> None:
        match word:
            case Ready():
                self._ready(word)
            case Pong():
                self._pong(word)
            case Refused() if not self.is_armed:
                self.refuse(word.why)
            case Refused() if self._second is not None:
                pass  # it refuses to ask; what the first one did is as unknown as before
            case Over():
                self._is_over = True
                self._pass("over", by=word.by)
                if self._wants_outputs:
                    self._send(far.FETCH)
            case Out():
                self._out(word)
            case _:
                self._is_thawing |= isinstance(word, Thawing)
                said = in_words(word)
                if said:
                    self._say(instance=self.order.instance, **said)

    def go(self, now: float) -> None:
        self._is_open = True
        if now - self._pong_at <= FRESH_SECONDS:
            self._go()
        else:
            self._go_by = now + FRESH_SECONDS
            self.ping(now)

    def thaw(self, argument: str) -> None:
        self._go_by, self._told_at = None, linux.boottime()
        self._send(far.thaw("1" if argument == "1" else "0"))

    def fetch(self) -> None:
        """Ask for the outputs; a far side that is not over yet is asked when it is."""
        self._wants_outputs = True
        if self._is_over:
            self._send(far.FETCH)

    def bye(self) -> None:
        self._send(far.BYE)

    def close(self) -> None:
        """End the connection; a far side that is over forgets its outputs."""
        if self._is_over:
            self._send(far.BYE)
        self._begun.close()

    def ping(self, now: float) -> None:
        self._pings += 1
        self.next_ping = now + (PING_SECONDS if self._is_open else GATE_PING_SECONDS)
        self._send(far.ping(self._pings))

    def tick(self, now: float) -> None:
        """Do what is due on a living wire."""
        if not self.is_armed:
            self.hear()
            if not self._has_begun():
                self.refuse(self._begun.why_not(self._reader.rest()))
            return
        if self._go_by is not None and now >= self._go_by:
            self.refuse(NO_CLOCK)  # it was not told to go
            return
        if now >= self._stuck_at:
            self._has_asked_again = True
            self._ask_again(self)
        if now >= self.next_ping and not self._is_over:
            self.ping(now)

    def _has_begun(self) -> bool:
        return self.is_armed or self.is_gone

    @property
    def due(self) -> float:
        if self.is_gone or self._begun is NOT_YET:
            return float("inf")
        if not self.is_armed:
            return 0.0 if self.wire.is_over else self.started_at + READY_SECONDS
        ping = float("inf") if self._is_over else self.next_ping
        return min(ping, self._stuck_at, self._go_by or float("inf"))

    @property
    def _stuck_at(self) -> float:
        """Return when a far side that was told to thaw, and says nothing, is asked in a second channel.

        It was stopped, or its connection is cut. In the latter case it hears in order: first that it is to thaw.
        """
        if self._is_thawing or self._is_over or self._has_asked_again or not self.can_ask:
            return float("inf")
        return self._told_at + STUCK_SECONDS

    def refuse(self, why: str, more: object = None) -> None:
        self.is_gone = True
        self._pass("refused", why=why, more=more)
        self._begun.close()

    def lose(self, why: str) -> None:
        """Tell that nothing more is heard, and end the connection: the far side thaws when it sees that."""
        self.is_gone = True
        self._say(word="gone", instance=self.order.instance, why=why)
        self._begun.close()

    def _send(self, text: bytes) -> None:
        if not self.is_gone and not self.wire.send(text):
            self.lose(LOST)

    def _go(self) -> None:
        self._go_by = None
        self._send(far.go(self._clock))

    def _pass(self, word: str, **values: object) -> None:
        self._say(word=word, instance=self.order.instance, **values)

    def _ready(self, word: Ready) -> None:
        if self.is_armed:
            return
        self.is_armed = True
        self._pass("ready", boot=word.boot, folder=word.folder, pid=word.pid)
        self.ping(linux.boottime())

    def _pong(self, word: Pong) -> None:
        self._clock, self._pong_at = word.uptime, linux.boottime()
        if self._go_by is not None:
            self._go()

    def _out(self, word: Out) -> None:
        self._outputs -= 1
        if not self._wants_outputs or self._outputs < 0:
            return
        if word.phase == "end":
            self._pass("fetched")
            return
        for piece in pieces(word):
            self._pass("out", stream=f"{word.phase}.{word.attempt}.{word.stream}", data=piece)


class Sessions:
    """A runner: see `carrier.Runner`."""

    def __init__(self, orders: Sequence[Order]) -> None:
        """Nothing is opened yet."""
        self._orders = orders
        self._sides: dict[str, Side] = {}
        self._opened: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._wake_read, self._wake_write = os.pipe()
        self._selector: selectors.BaseSelector = selectors.DefaultSelector()

    def begin(self, selector: selectors.BaseSelector, say: Say) -> None:
        self._selector = selector
        os.set_blocking(self._wake_read, False)
        selector.register(self._wake_read, selectors.EVENT_READ, self._take_opened)
        for order in self._orders:
            side = self._sides[order.instance] = Side(order, say, self._ask_again)
            threading.Thread(target=self._open, args=(side,), daemon=True).start()

    def _open(self, side: Side) -> None:
        """Open a session and start the far side, in a thread; what follows is done in the loop."""
        try:
            self._opened.put(partial(self._begun, side, side.order.begin()))
        except Exception as error:  # noqa: BLE001 - whatever it is, this instance is refused, and no other
            self._opened.put(partial(side.refuse, str(error), side.order.more(error)))
        os.write(self._wake_write, b".")

    def _ask_again(self, side: Side) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(side.wire.fileno())
        threading.Thread(target=self._open_again, args=(side,), daemon=True).start()

    def _open_again(self, side: Side) -> None:
        try:
            self._opened.put(partial(self._begun_again, side, side.again()))
        except Exception:  # noqa: BLE001 - the connection is no better than its first wire
            self._opened.put(partial(side.lose, LOST))
        os.write(self._wake_write, b".")

    def _begun_again(self, side: Side, wire: Wire) -> None:
        if not side.is_gone:
            side.replace(wire)
            self._listen(side)

    def _take_opened(self, _: int) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
        while not self._opened.empty():
            self._opened.get()()

    def _begun(self, side: Side, begun: Begun) -> None:
        side.begin(begun)
        self._listen(side)

    def _listen(self, side: Side) -> None:
        self._selector.register(
            side.wire.fileno(), selectors.EVENT_READ, lambda _: self._hear(side)
        )
        self._hear(side)

    def _hear(self, side: Side) -> None:
        if not side.is_gone:
            side.hear()
        if side.is_gone or side.wire.is_over:
            with suppress(KeyError, ValueError):
                self._selector.unregister(side.wire.fileno())

    def _living(self, instances: Iterable[str] | None = None) -> list[Side]:
        names = self._sides if instances is None else instances
        found = [self._sides[name] for name in names if name in self._sides]
        return [side for side in found if side.is_armed and not side.is_gone]

    def go(self, instances: Sequence[str]) -> None:
        now = linux.boottime()
        for side in self._living(instances):
            side.go(now)

    def thaw(self, arguments: Mapping[str, str]) -> None:
        for side in self._living(arguments):
            side.thaw(arguments[side.order.instance])

    def fetch(self, instances: Sequence[str]) -> None:
        for side in self._living(instances):
            side.fetch()

    def bye(self) -> None:
        for side in self._living():
            side.bye()

    def tick(self, now: float) -> float:
        for side in self._sides.values():
            if now >= side.due:
                side.tick(now)
        return min((side.due for side in self._sides.values()), default=float("inf"))

    def close(self) -> None:
        for side in self._sides.values():
            side.close()
