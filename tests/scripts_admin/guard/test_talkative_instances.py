"""A far side that never stops talking, or repeats itself, costs a window neither its turn nor its memory."""

import base64
import json
import selectors
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from scripts_admin.guard.instances import WORDS_AT_ONCE, Carried, Instances
from scripts_admin.guard.journal import Writer
from scripts_admin.guard.on_instances import MOST_OUTPUTS, OnInstance
from tests.scripts_admin.guard.stage import Stage


class Window:
    """A guard's instances, and the carrier's end of their socket."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.selector = stage, selectors.DefaultSelector()
        guards, self.carrier = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours = guards
        record = replace(stage.record(), instances=(OnInstance("a", "ssh"),))
        self.instances = Instances(
            record, [Carried(guards, ("a",))], Writer(stage.runtime), self.selector, lambda: None
        )
        self.instances.go()

    def say(self, **word: object) -> None:
        self.carrier.send(json.dumps({"instance": "a", **word}).encode())

    def hear(self) -> None:
        for key, _ in self.selector.select(0):
            key.data(key.fd)

    def hear_all(self) -> None:
        while self.selector.select(0):
            self.hear()

    def lines(self) -> list[str]:
        text = (self.stage.runtime / "journal").read_text()
        return [line for line in text.splitlines() if '"heard there"' in line]


@pytest.fixture
def window(stage: Stage) -> Iterator[Window]:
    found = Window(stage)
    yield found
    found.instances.close()
    found.carrier.close()
    found.selector.close()


def test_one_that_never_stops_talking_gets_a_turn_and_no_more(window: Window) -> None:
    for number in range(WORDS_AT_ONCE + 1):
        window.say(word="after", attempt=number + 1, code="1", by="worker")
    window.hear()
    assert len(window.lines()) == WORDS_AT_ONCE
    window.hear()
    assert len(window.lines()) == WORDS_AT_ONCE + 1


def test_what_is_known_is_not_written_again(window: Window) -> None:
    for _ in range(20):
        window.say(word="before", code="0")
        window.say(word="thawing", by="worker", argument="1")
        window.say(word="after", attempt=1, code="0", by="worker")
        window.say(word="over", by="worker")
        window.say(word="what", by="else")
        window.hear_all()
    assert len(window.lines()) == 4


def test_no_more_outputs_are_kept_than_there_can_be(window: Window) -> None:
    data = base64.b64encode(b"printed").decode()
    for number in range(3 * MOST_OUTPUTS):
        window.say(word="out", stream=f"after.{number}.stdout", data=data)
        window.hear_all()
    window.instances.write_outputs()
    assert len(window.stage.journal.of("a").outputs) == MOST_OUTPUTS
