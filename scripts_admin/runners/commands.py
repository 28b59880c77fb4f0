"""The runner of instances that are reached over SSM: a command for each step, and one poller for all.

Nothing stands at a gate on an instance: A is sent when before is to go. So `ready` says only that SSM reaches the
instance's agent.
"""

import os
import selectors
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from queue import SimpleQueue

from scripts_admin.runners import far
from scripts_admin.runners.carrier import Say
from scripts_admin.runners.ssm import Fleet, Lost, Said, Step
from scripts_admin.runners.ssm_line import Line
from scripts_admin.runners.ssm_texts import Texts
from scripts_admin.runners.telling import in_words, pieces
from scripts_admin.runners.words import After, Out, Over, Refused


class Commands:
    """A runner: see `carrier.Runner`. The texts are of orders with the fleet's nonce.

    `check` says why instances cannot be reached, by instance; it may ask AWS, so a thread calls it.
    """

    def __init__(
        self, fleet: Fleet, texts: Mapping[str, Texts], check: Callable[[], Mapping[str, str]]
    ) -> None:
        """Nothing is sent yet."""
        self._fleet, self._texts, self._check = fleet, texts, check
        self._say: Say = lambda **_: None
        self._ready: set[str] = set()
        self._ended: set[str] = set()  # B has ended there, so it shows what was printed
        self._wanted: set[str] = set()
        self._later: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._line: Line | None = None

    def begin(self, selector: selectors.BaseSelector, say: Say) -> None:
        self._say, self._line = say, Line(self._fleet)
        selector.register(self._line.fileno(), selectors.EVENT_READ, self._hear)
        selector.register(self._wake, selectors.EVENT_READ, self._take_later)
        self._start(self._look)

    def go(self, instances: Sequence[str]) -> None:
        if self._line is not None:
            told = sorted(self._ready & set(instances))
            self._line.arm({each: self._texts[each].arming for each in told})

    def thaw(self, arguments: Mapping[str, str]) -> None:
        """Send B to all of them, whatever became of A."""
        if self._line is not None:
            known = sorted(self._ready & arguments.keys())
            self._line.thaw({each: self._second(each, arguments[each]) for each in known})

    def _second(self, instance: str, argument: str) -> str:
        has_begun = self._fleet.has_begun(instance)
        return self._texts[instance].thawing(argument, has_begun=has_begun)

    def fetch(self, instances: Sequence[str]) -> None:
        self._wanted |= set(instances)
        self._fetch()

    def bye(self) -> None:
        """Nothing was sent, so nothing is closed."""

    def tick(self, now: float) -> float:  # noqa: ARG002 - the line has its own clock
        return float("inf")

    def close(self) -> None:
        if self._line is not None:
            self._line.close()

    def _look(self) -> None:
        """Find out whom SSM does not reach, in a thread."""
        try:
            found = dict(self._check())
        except Exception as error:  # noqa: BLE001 - whatever it is, these instances are refused with it
            found = dict.fromkeys(self._texts, str(error))
        self._do_later(partial(self._answer, found))

    def _answer(self, refused: Mapping[str, str]) -> None:
        for instance, why in refused.items():
            self._pass(instance, word="refused", why=why)
        for instance in self._texts:
            if instance not in refused:
                self._ready.add(instance)
                self._pass(instance, word="ready", boot="", folder="", pid=0)

    def _hear(self, _: int) -> None:
        for event in self._line.take() if self._line is not None else ():
            match event:
                case Lost():
                    self._lost(event)
                case Said():
                    self._said(event)
        self._fetch()

    def _lost(self, event: Lost) -> None:
        """Say that before is not to be waited for, or that B tells nothing; one that is not sent yet is sent again."""
        if event.step == Step.BEFORE:
            self._pass(event.instance, word="lost", why=event.why)
        elif event.is_over:
            self._pass(event.instance, word="gone", why=event.why)

    def _said(self, event: Said) -> None:
        if isinstance(event.word, Refused):
            self._refused(event, event.word.why)
            return
        said = in_words(event.word)
        if said:
            self._pass(event.instance, **said)
        if event.step == Step.AFTER and isinstance(event.word, After | Over):
            self._ended.add(event.instance)

    def _refused(self, event: Said, why: str) -> None:
        """Say that nothing runs there only where that is sure: not of an A that was there before, nor of a B."""
        if event.step == Step.AFTER:
            self._pass(event.instance, word="gone", why=why)
        elif why == far.STARTED_BEFORE:
            self._pass(event.instance, word="lost", why=why)
        else:
            self._pass(event.instance, word="refused", why=why)

    def _fetch(self) -> None:
        ready = self._wanted & self._ended
        self._wanted -= ready
        for instance in sorted(ready):
            self._start(partial(self._read, instance))

    def _read(self, instance: str) -> None:
        """Read what was printed there, in a thread."""
        found: list[Out] = []
        with suppress(Exception):  # outputs are not worth a window: they are missing then
            found = self._fleet.outputs(instance)
        self._do_later(partial(self._printed, instance, found))

    def _printed(self, instance: str, found: Sequence[Out]) -> None:
        for out in found:
            for piece in pieces(out) if out.phase != "end" else ():
                stream = f"{out.phase}.{out.attempt}.{out.stream}"
                self._pass(instance, word="out", stream=stream, data=piece)
        self._pass(instance, word="fetched")

    def _pass(self, instance: str, **word: object) -> None:
        self._say(instance=instance, **word)

    def _do_later(self, act: Callable[[], None]) -> None:
        self._later.put(act)
        os.eventfd_write(self._wake, 1)

    def _take_later(self, _: int) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        while not self._later.empty():
            self._later.get()()

    @staticmethod
    def _start(act: Callable[[], None]) -> None:
        threading.Thread(target=act, name="ssm", daemon=True).start()
