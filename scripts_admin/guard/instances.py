"""The instances of one window, as the guard knows them: it tells carriers what to say, and takes what they hear.

A carrier holds the sessions; between it and the guard there is one socket, with one JSON word a message. The guard
never waits for a carrier: one that does not take a word at once, or closes its end, is lost, and its far sides thaw
by themselves when their connections close.
"""

import base64
import json
import selectors
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from scripts_admin.domain.phases import FINE, Outcome
from scripts_admin.guard import journal, linux
from scripts_admin.guard.capture import Capture
from scripts_admin.guard.on_instances import MOST_OUTPUTS, NO_ANSWER, SSM, OnInstance, There
from scripts_admin.guard.spool import Record

ANSWER_SECONDS = 5.0  # beyond a script's timeout: the way there and back, and ending a group
DELIVERY_SECONDS = (
    10.0  # of a command by SSM, which promises nothing; more than that counts as no answer
)
FETCH_SECONDS = 10.0
HURRY_SECONDS = 1.0  # the server's own after has failed, and its next attempt needs the run's lock
MOST_BYTES = 160 * 1024  # of one word
WORDS_AT_ONCE = 32  # of one carrier: whoever never stops talking keeps the guard from nothing
_ENDS_GROUP_SECONDS = 2.0  # TERM, a second, KILL: before must be dead before after begins
# The longest time that a thaw there takes beyond its script's timeout, outputs included.
MOST_SECONDS = _ENDS_GROUP_SECONDS + ANSWER_SECONDS + DELIVERY_SECONDS + FETCH_SECONDS
CARRIER_LOST = "the process that held its connection is gone"
Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Carried:
    """A carrier's socket, and the instances that it reaches. Whoever passes it on closes its own copy."""

    socket: socket.socket
    instances: tuple[str, ...]


class Instances:
    """Every method returns at once; `on_change` is called when one of them has answered, or is lost."""

    def __init__(
        self,
        record: Record,
        carriers: Iterable[Carried],
        writer: journal.Writer,
        selector: selectors.BaseSelector,
        on_change: Callable[[], None],
        secrets: Sequence[bytes] = (),
    ) -> None:
        """Take over the sockets. Nothing is said yet."""
        self._scripts: Mapping[str, OnInstance] = {
            each.instance: each for each in record.instances if each.armed
        }
        self._refused = {
            each.instance: each.outcome or Outcome.CRASHED.value
            for each in record.instances
            if not each.armed
        }
        # No before runs, here or there, so none decides whether after does, or with what.
        self.is_after_alone = any(each.argument for each in record.instances)
        self._collect, self._secrets = record.collect_output, secrets
        self._writer, self._selector, self._on_change = writer, selector, on_change
        self._story = journal.Journal()
        self._carriers: dict[int, Carried] = {}
        self._captures: dict[tuple[str, str], Capture] = {}
        self._waits_for_outputs: set[str] = set()
        self._due: float | None = None
        self._is_open = True
        for carried in carriers:
            carried.socket.settimeout(0.0)
            self._carriers[carried.socket.fileno()] = carried
            selector.register(carried.socket.fileno(), selectors.EVENT_READ, self._hear)

    @property
    def deadline(self) -> float | None:
        """Return when those that have not answered by then are given up in this window."""
        return self._due

    @property
    def befores_are_known(self) -> bool:
        return all(there.before_is_known for there in self._told())

    @property
    def afters_are_known(self) -> bool:
        return all(there.has_tried for there in self._told())

    @property
    def outputs_are_known(self) -> bool:
        return not self._waits_for_outputs

    @property
    def outcomes(self) -> dict[str, str]:
        """Return each instance's outcome of before."""
        found = {name: str(self._story.of(name).outcome) for name in self._scripts}
        return found | self._refused

    @property
    def all_succeeded(self) -> bool:
        return self.is_after_alone or all(outcome in FINE for outcome in self.outcomes.values())

    def go(self) -> None:
        """Let every before go. The journal says so before the first word leaves; without its line, none does."""
        # A carrier may hold none of them any more: who was refused, or is lost, is told nothing and owes nothing.
        named = [name for each in self._carriers.values() for name in each.instances]
        reached = [n for n in named if n in self._scripts and not self._story.of(n).is_closed]
        line = journal.entry("go there", instances=reached)
        try:
            self._writer.keep(line)
        except OSError:
            self._say(word="bye")
            return
        self._story.take(line)
        scripts = [self._scripts[name] for name in reached]
        self._wait(each.before_seconds + _delivery(each) for each in scripts)
        self._say(word="go", instances=reached)

    def thaw(self) -> None:
        """Order every after that is owed, with the argument that its own before has earned; close all other gates.

        Where SSM carries the order, it is sent whatever was heard: nobody at all stands at a gate there.
        """
        if not self._is_open:
            return
        self._is_open = False
        owed = [there for there in self._told() if there.is_owed or self._is_by_ssm(there)]
        if not owed:
            self._say(word="bye")
            return
        arguments = {each.instance: self._argument(each) for each in owed}
        self._keep("thaw there", arguments=arguments)
        scripts = [self._scripts[each.instance] for each in owed]
        self._wait(each.after_seconds + _ENDS_GROUP_SECONDS + _delivery(each) for each in scripts)
        self._say(word="thaw", arguments=arguments)

    def _argument(self, there: There) -> str:
        return self._scripts[there.instance].argument or ("1" if there.outcome in FINE else "0")

    def fetch(self, within_seconds: float = FETCH_SECONDS) -> None:
        """Ask for what was printed, once nothing is frozen any more."""
        self._due = linux.boottime() + within_seconds
        ready = {each.instance for each in self._told() if each.is_about_over and not each.lost}
        if self._collect and ready:
            self._waits_for_outputs = ready
            self._say(word="fetch", instances=sorted(ready))

    def tick(self, now: float) -> None:
        """Give up those that have not answered in time: their far sides thaw by themselves, and are asked later."""
        if self._due is None or now < self._due:
            return
        self._due = None
        self._waits_for_outputs.clear()
        for there in self._told():
            waits = not there.before_is_known if self._is_open else not there.has_tried
            if waits:
                # By SSM it may still be heard of, and is: the order to thaw has not been sent yet.
                word = "lost" if self._is_open and self._is_by_ssm(there) else "gone"
                self._heard({"word": word, "instance": there.instance, "why": NO_ANSWER})
        self._on_change()

    def close(self) -> None:
        """Let the carriers go; each ends."""
        for descriptor in list(self._carriers):
            self._close(descriptor)

    def write_outputs(self) -> None:
        for (instance, stream), capture in self._captures.items():
            self._writer.note("output there", instance=instance, stream=stream, text=capture.text())

    def _told(self) -> list[There]:
        return [there for there in self._story.there.values() if there.was_told]

    def _is_by_ssm(self, there: There) -> bool:
        return self._scripts[there.instance].by == SSM

    def _wait(self, seconds: Iterable[float]) -> None:
        self._due = linux.boottime() + max(seconds, default=0.0) + ANSWER_SECONDS

    def _keep(self, event: str, **values: object) -> None:
        """Take an event, and write it if there is room: a thaw goes on without a journal."""
        line = journal.entry(event, **values)
        self._story.take(line)
        with suppress(OSError):
            self._writer.keep(line)

    def _say(self, **word: object) -> None:
        text = json.dumps(word).encode()
        for descriptor, carried in list(self._carriers.items()):
            try:
                carried.socket.send(text)
            except OSError:
                self._lost(descriptor)

    def _hear(self, descriptor: int) -> None:
        carried = self._carriers.get(descriptor)
        for _ in range(WORDS_AT_ONCE):
            if carried is None or descriptor not in self._carriers:
                break
            try:
                text = carried.socket.recv(MOST_BYTES)
            except BlockingIOError:
                break
            except OSError:
                text = b""
            if not text:
                self._lost(descriptor)
                break
            with suppress(AttributeError, KeyError, TypeError, ValueError):
                self._take(json.loads(text))
        self._on_change()

    def _take(self, word: Event) -> None:
        if word["instance"] not in self._scripts:
            return
        if word["word"] == "out":
            capture = self._capture(str(word["instance"]), str(word["stream"]))
            if capture is not None:
                capture.feed(base64.b64decode(word["data"]))
        elif word["word"] == "fetched":
            self._waits_for_outputs.discard(str(word["instance"]))
        elif self._story.of(str(word["instance"])).is_news(word):
            self._heard(word)

    def _capture(self, instance: str, stream: str) -> Capture | None:
        """Return what keeps an output; None if the instance has sent as many as there can be."""
        key = instance, stream
        if key not in self._captures:
            if sum(name == instance for name, _ in self._captures) >= MOST_OUTPUTS:
                return None
            self._captures[key] = Capture(self._secrets)
        return self._captures[key]

    def _heard(self, word: Event) -> None:
        if word["word"] == "gone":
            self._waits_for_outputs.discard(str(word["instance"]))
        self._keep("heard there", **word)

    def _lost(self, descriptor: int) -> None:
        carried = self._close(descriptor)
        for instance in carried.instances:
            if not self._story.of(instance).lost:
                self._heard({"word": "gone", "instance": instance, "why": CARRIER_LOST})

    def _close(self, descriptor: int) -> Carried:
        carried = self._carriers.pop(descriptor)
        with suppress(KeyError, ValueError):
            self._selector.unregister(descriptor)
        carried.socket.close()
        return carried


def _delivery(scripts: OnInstance) -> float:
    return DELIVERY_SECONDS if scripts.by == SSM else 0.0
