"""An instance that is lost before its before is let go: it is told nothing, and nothing is owed there."""

import json
import selectors
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from scripts_admin.domain.phases import Outcome
from scripts_admin.guard.instances import Carried, Instances
from scripts_admin.guard.journal import Writer
from scripts_admin.guard.on_instances import OnInstance
from tests.scripts_admin.guard.stage import Stage


class Window:
    """A guard's instances `a` and `b`, which stand at their gates, and the carrier's end of their socket."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.selector = stage, selectors.DefaultSelector()
        guards, self.carrier = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.carrier.settimeout(60)
        record = replace(stage.record(), instances=(OnInstance("a", "ssh"), OnInstance("b", "ssh")))
        carried = [Carried(guards, ("a", "b"))]
        self.instances = Instances(
            record, carried, Writer(stage.runtime), self.selector, lambda: None
        )

    def order(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.carrier.recv(65536))
        return found

    def say(self, instance: str, **word: object) -> None:
        self.carrier.send(json.dumps({"instance": instance, **word}).encode())
        for key, _ in self.selector.select(60):
            key.data(key.fd)


@pytest.fixture
def window(stage: Stage) -> Iterator[Window]:
    found = Window(stage)
    yield found
    found.instances.close()
    found.carrier.close()
    found.selector.close()


@pytest.mark.parametrize(
    "word", [{"word": "gone", "why": "its connection was lost"}, {"word": "over", "by": "never"}]
)
def test_who_is_lost_at_its_gate_is_not_let_go_and_is_owed_nothing(
    window: Window, word: dict[str, str]
) -> None:
    window.say("a", **word)

    window.instances.go()

    assert window.order()["instances"] == ["b"]
    assert not window.stage.journal.of("a").was_told
    assert window.instances.outcomes["a"] == Outcome.NOT_RUN
    assert not window.instances.all_succeeded
    window.say("b", word="before", code="0")
    assert window.instances.befores_are_known
    window.instances.thaw()
    assert window.order()["arguments"] == {"b": "1"}
