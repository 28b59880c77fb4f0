"""Scripts on instances over SSM: command A arms and runs before, command B thaws.

A ends the moment before has ended; what it leaves behind on the instance thaws by itself at its deadline. B is sent
whatever became of A: it answers a living wrapper's place with after, or leaves a tombstone that makes a late A
refuse. B may be sent twice, A never. A command is never cancelled: that would end the messenger, and before would
freeze all the same.

Nothing here waits, and nothing here knows the clock of an instance: whoever owns the window decides about time.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from scripts_admin.runners import far
from scripts_admin.runners.words import After, Before, Out, Over, Refused, Word

AT_ONCE = 50  # instances of one SendCommand
START_SECONDS = 10.0  # an A that no agent has taken by then is followed by B
ENDED = frozenset({"Success", "Failed", "TimedOut", "Cancelled"})
_WAITING = frozenset({"Pending", "Delayed"})
_WITH_AGENT = frozenset({"InProgress", "Success"})
_LEAST, _FIRST, _SOON, _LATER, _LATE = 0.001, 0.15, 0.2, 0.5, 1.0
_SOON_UNTIL, _LATER_UNTIL = 3.0, 10.0
_TRIES_OF_BEFORE = 3
_CUT = "\n---Output truncated---"  # a listing shows 2,500 characters of both streams together
_AGAIN = (0.2, 0.5, 1.0, 2.0, 5.0)


class Step(StrEnum):
    """The two commands of a window."""

    BEFORE = "before"
    AFTER = "after"


# The words with which a step ends.
_ENDS = {Step.BEFORE: (Before, Refused, Over), Step.AFTER: (After, Refused, Over)}


class NotSentError(Exception):
    """AWS did not take a command, and no instance gets it; the text is a sentence for people.

    `instances`: those because of which AWS refused it for all; empty if it is not about single instances.
    `again`: the same call may succeed soon.
    """

    def __init__(self, why: str, instances: Iterable[str] = (), *, again: bool = False) -> None:
        """Keep the sentence and the instances."""
        super().__init__(why)
        self.instances = frozenset(instances)
        self.again = again


class AnswerLostError(Exception):
    """A command was sent, and no answer came: instances may get it."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One command on one instance: status and details in SSM's words, and the beginning of what it printed."""

    command_id: str
    instance_id: str
    status: str
    details: str
    text: str


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command printed to stdout. `is_cut`: SSM has kept only its beginning."""

    text: str
    is_cut: bool


class Client(Protocol):
    """SSM of one account and region; thread-safe, each call has a bound and is tried once."""

    def send(self, instance_ids: Sequence[str], text: str, comment: str) -> str:
        """Send a script to the instances and return the command's id. NotSentError, AnswerLostError."""

    def look(self, command_ids: Sequence[str]) -> list[Invocation]:
        """Return how these commands go, in one call where possible; raise whatever went wrong."""

    def printed(self, command_id: str, instance_id: str) -> Printed:
        """Return what an ended command printed."""


@dataclass(frozen=True, slots=True)
class Said:
    """A word of the wrapper; never an output, see `printed`."""

    instance: str
    step: Step
    word: Word


@dataclass(frozen=True, slots=True)
class Lost:
    """Nothing is known of a step, and perhaps never will; before may be running. `why` is a sentence for people.

    `is_over`: its command has ended, so nothing more is heard of it.
    """

    instance: str
    step: Step
    why: str
    is_over: bool = False


Event = Said | Lost


def pause(age: float) -> float:
    """Return the seconds to the next look at a command that was sent so many seconds ago."""
    if age < _FIRST - _LEAST:
        return _FIRST - age
    if age < _SOON_UNTIL:
        return _SOON
    return _LATER if age < _LATER_UNTIL else _LATE


@dataclass(slots=True)
class _Sent:
    """One step of one instance."""

    instance: str
    step: Step
    at: float
    command_id: str = ""
    is_known: bool = False  # SSM has listed it
    may_run: bool = False  # an agent has it, or had it
    heard: int = 0  # words
    is_lost: bool = False
    is_over: bool = False


@dataclass(slots=True)
class _Owed:
    """A command B that AWS did not take yet."""

    instances: tuple[str, ...]
    text: str
    due: float
    tries: int = 0


@dataclass(slots=True)
class Fleet:
    """The instances of one window in one account and region. Thread-safe; no call of AWS is made under its lock.

    `arm` and `thaw` send at once, to up to 50 instances with the same text in one call. `look` asks once for all and
    returns what is new since the last look. A step is lost at most once, and may still be heard of later. `nonce` is
    that of the orders; each instance puts its own id behind it.
    """

    client: Client
    nonce: str
    comment: str
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _sent: dict[tuple[str, Step], _Sent] = field(default_factory=dict)
    _owed: list[_Owed] = field(default_factory=list)
    _news: list[Event] = field(default_factory=list)

    def arm(self, scripts: Mapping[str, str]) -> None:
        """Send each instance its A, once."""
        for instances, text in batches(scripts):
            self._arm(instances, text)

    def thaw(self, scripts: Mapping[str, str]) -> None:
        """Send each instance its B. What AWS does not take is sent again by `look`, until it does."""
        for instances, text in batches(scripts):
            self._thaw(_Owed(instances, text, self.clock()))

    def pause(self) -> float | None:
        """Return the seconds to the next look; None while there is nothing to wait for."""
        now = self.clock()
        with self._lock:
            if self._news:
                return 0.0
            pauses = [pause(now - each.at) for each in self._sent.values() if not each.is_over]
            pauses += [max(0.0, each.due - now) for each in self._owed]
        return min(pauses, default=None)

    def look(self) -> list[Event]:
        """Send what is owed, ask AWS once for all commands that go on, and return what is new.

        An error of the question is no news: the next look asks again.
        """
        self._pay()
        with self._lock:
            ids = list(dict.fromkeys(one.command_id for one in self._open() if one.command_id))
        if ids:
            try:
                rows = self.client.look(ids)
            except Exception:  # noqa: BLE001 - whatever it is, B will be sent in time, and the next look asks again
                rows = []
            with self._lock:
                self._enter(rows)
        with self._lock:
            self._miss()
            news, self._news = self._news, []
        return news

    def has_begun(self, instance: str) -> bool:
        """Tell whether before may have run there, as far as SSM has told."""
        with self._lock:
            sent = self._sent.get((instance, Step.BEFORE))
            return sent is not None and sent.may_run

    def outputs(self, instance: str) -> list[Out]:
        """Return what both scripts of an instance printed, as B shows it; to be called after the thaw.

        One that SSM has cut off is left out; of a long one the wrapper itself shows the first and the last bytes.
        """
        with self._lock:
            sent = self._sent.get((instance, Step.AFTER))
        if sent is None:
            return []
        text = self.client.printed(sent.command_id, instance).text
        nonce = self.nonce + instance
        return [each for each in far.words(text.encode(), nonce) if isinstance(each, Out)]

    def _arm(self, instances: Sequence[str], text: str) -> None:
        for n in range(_TRIES_OF_BEFORE):
            try:
                command_id = self.client.send(instances, text, self.comment)
            except NotSentError as error:
                bad = [each for each in instances if each in error.instances]
                if bad:
                    self._lose(bad, Step.BEFORE, str(error))
                    instances = [each for each in instances if each not in error.instances]
                    if instances:
                        self._arm(instances, text)
                    return
                if not error.again or n + 1 == _TRIES_OF_BEFORE:
                    self._lose(instances, Step.BEFORE, str(error))
                    return
                self.sleep(_AGAIN[n])
            except (
                AnswerLostError
            ) as error:  # to send it twice is worse than to send it perhaps never
                self._lose(instances, Step.BEFORE, str(error))
                return
            else:
                self._note(instances, Step.BEFORE, command_id)
                return

    def _thaw(self, owed: _Owed) -> None:
        try:
            command_id = self.client.send(owed.instances, owed.text, self.comment)
        except NotSentError as error:
            bad = tuple(each for each in owed.instances if each in error.instances)
            rest = tuple(each for each in owed.instances if each not in error.instances)
            if bad and rest:
                self._thaw(_Owed(rest, owed.text, owed.due, owed.tries))
            self._owe(_Owed(bad or owed.instances, owed.text, owed.due, owed.tries), str(error))
        except AnswerLostError as error:
            self._owe(owed, str(error))
        else:
            self._note(owed.instances, Step.AFTER, command_id)

    def _owe(self, owed: _Owed, why: str) -> None:
        owed.due = self.clock() + _AGAIN[min(owed.tries, len(_AGAIN) - 1)]
        owed.tries += 1
        if owed.tries == 1:
            self._lose(owed.instances, Step.AFTER, why)
        with self._lock:
            self._owed.append(owed)

    def _pay(self) -> None:
        now = self.clock()
        with self._lock:
            due = [each for each in self._owed if each.due <= now]
            self._owed = [each for each in self._owed if each.due > now]
        for each in due:
            self._thaw(each)

    def _note(self, instances: Sequence[str], step: Step, command_id: str) -> None:
        now = self.clock()
        with self._lock:
            for each in instances:
                self._sent[each, step] = _Sent(each, step, now, command_id)

    def _lose(self, instances: Sequence[str], step: Step, why: str) -> None:
        with self._lock:
            self._news += [Lost(each, step, why) for each in instances]

    def _open(self) -> list[_Sent]:
        return [each for each in self._sent.values() if not each.is_over]

    def _enter(self, rows: Iterable[Invocation]) -> None:
        steps = {(one.command_id, one.instance): one for one in self._open()}
        for row in rows:
            one = steps.get((row.command_id, row.instance_id))
            if one is None:
                continue
            one.is_known = True
            said = _words(row.text, self.nonce + row.instance_id)
            one.may_run |= bool(said) or row.status in _WITH_AGENT
            self._news += [Said(one.instance, one.step, word) for word in said[one.heard :]]
            one.heard = max(one.heard, len(said))
            is_late = row.status in _WAITING and self.clock() - one.at >= START_SECONDS
            if one.step == Step.BEFORE and is_late:
                self._lose_one(
                    one,
                    f"SSM has not started it within {START_SECONDS:g} s: see whether its agent is online.",
                )
            if row.status in ENDED:
                one.is_over = True
                if not any(isinstance(word, _ENDS[one.step]) for word in said):
                    why = f"SSM says {row.details}, and the instance has not said how it ended."
                    self._lose_one(one, why)

    def _miss(self) -> None:
        """Lose each A that AWS does not even list in time."""
        for one in self._open():
            age = self.clock() - one.at
            if one.step == Step.BEFORE and not one.is_known and age >= START_SECONDS:
                self._lose_one(one, "SSM does not list the command: AWS may have trouble.")

    def _lose_one(self, one: _Sent, why: str) -> None:
        if not one.is_lost:
            one.is_lost = True
            self._news.append(Lost(one.instance, one.step, why, is_over=one.is_over))


def batches(scripts: Mapping[str, str]) -> list[tuple[tuple[str, ...], str]]:
    """Return the instances with the same text together, up to 50 in each."""
    same: dict[str, list[str]] = {}
    for instance, text in scripts.items():
        same.setdefault(text, []).append(instance)
    return [
        (tuple(all_of[start : start + AT_ONCE]), text)
        for text, all_of in same.items()
        for start in range(0, len(all_of), AT_ONCE)
    ]


def _words(text: str, nonce: str) -> list[Word]:
    """Return what the wrapper says in a listing, without outputs; a line that SSM has cut is none."""
    whole, cut, _ = text.partition(_CUT)
    if cut:
        whole = whole.rpartition("\n")[0] + "\n"
    return [word for word in far.words(whole.encode(), nonce) if not isinstance(word, Out)]


def visit(
    client: Client,
    nonce: str,
    instance: str,
    text: str,
    within_seconds: float,
    is_wanted: Callable[[], bool] = lambda: True,
) -> list[Word]:
    """Send the text of `visiting` to an instance, and return what it says; nothing within that time says nothing.

    What was printed there comes with the words, as far as SSM keeps it. NotSentError, AnswerLostError: the next
    visit may be made as if there had been none.
    """
    command_id = client.send([instance], text, "n2wbackup: a later look")
    start = now = time.monotonic()
    while now < start + within_seconds and is_wanted():
        time.sleep(pause(now - start))
        for row in client.look([command_id]):
            if row.status in ENDED:
                printed = client.printed(command_id, instance).text
                return far.words(printed.encode(), nonce + instance)
        now = time.monotonic()
    return []
