"""Instances that SSM reaches, in a window: the order to thaw goes to each, and what is late is never in time."""

import json
import selectors
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from scripts_admin.domain.phases import Outcome
from scripts_admin.guard import linux
from scripts_admin.guard.instances import DELIVERY_SECONDS, Carried, Instances
from scripts_admin.guard.journal import Writer
from scripts_admin.guard.on_instances import OnInstance, There
from tests.scripts_admin.guard.stage import Stage


class Window:
    """A guard's instances `a` and `b`, and the carrier's end of their socket."""

    def __init__(self, stage: Stage, by: str) -> None:
        self.stage, self.selector = stage, selectors.DefaultSelector()
        guards, self.carrier = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.carrier.settimeout(60)
        there = (OnInstance("a", by, before_seconds=1.0), OnInstance("b", by, before_seconds=1.0))
        record = replace(stage.record(), instances=there)
        writer = Writer(stage.runtime)
        self.instances = Instances(
            record, [Carried(guards, ("a", "b"))], writer, self.selector, lambda: None
        )
        self.instances.go()
        assert self.order()["word"] == "go"

    def order(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.carrier.recv(65536))
        return found

    def say(self, instance: str, **word: object) -> None:
        self.carrier.send(json.dumps({"instance": instance, **word}).encode())
        while self.selector.select(0):
            for key, _ in self.selector.select(0):
                key.data(key.fd)

    def knows_befores(self) -> bool:
        return self.instances.befores_are_known

    def there(self, instance: str) -> There:
        return self.stage.journal.of(instance)


@pytest.fixture
def window(stage: Stage, request: pytest.FixtureRequest) -> Iterator[Window]:
    found = Window(stage, getattr(request, "param", "ssm"))
    yield found
    found.instances.close()
    found.carrier.close()
    found.selector.close()


def test_a_before_that_is_lost_is_waited_for_no_longer_and_its_success_comes_too_late(
    window: Window,
) -> None:
    window.say("a", word="before", code="0")
    assert not window.knows_befores()
    window.say("b", word="lost", why="SSM has not started it within 10 s.")
    assert window.knows_befores()
    assert window.instances.outcomes == {"a": "succeeded", "b": "interrupted"}
    # The calls are being made; before was only late.
    window.say("b", word="before", code="0")
    assert window.instances.outcomes["b"] == Outcome.TIMED_OUT

    window.instances.thaw()

    assert window.order() == {"word": "thaw", "arguments": {"a": "1", "b": "0"}}
    assert window.there("b").outcome == Outcome.TIMED_OUT
    assert window.there("b").late == "SSM has not started it within 10 s."


def test_a_lost_that_comes_after_the_end_of_before_changes_nothing(window: Window) -> None:
    window.say("a", word="before", code="0")
    window.say("a", word="lost", why="AWS may have trouble.")
    assert window.instances.outcomes["a"] == Outcome.SUCCEEDED
    assert not window.there("a").late


def test_the_order_to_thaw_goes_to_an_instance_that_was_refused_too(window: Window) -> None:
    window.say("a", word="refused", why="sh is not on this instance")
    window.say("b", word="over", by="never")

    window.instances.thaw()

    assert window.order() == {"word": "thaw", "arguments": {"a": "0", "b": "0"}}
    assert window.instances.afters_are_known  # and nobody waits for it


@pytest.mark.parametrize(
    ("window", "more"), [("ssh", 0.0), ("ssm", DELIVERY_SECONDS)], indirect=["window"]
)
def test_ssm_has_more_time_and_what_is_given_up_by_then_is_heard_of_later(
    window: Window, more: float
) -> None:
    due = window.instances.deadline
    assert due is not None
    assert due - linux.boottime() <= 6.0 + more
    assert more == 0.0 or due - linux.boottime() > 6.0
    window.say("a", word="before", code="0")

    window.instances.tick(due)

    assert window.knows_befores()
    assert bool(window.there("b").lost) == (more == 0.0)
    window.say("b", word="before", code="0")
    assert window.instances.outcomes["b"] == Outcome.TIMED_OUT
    window.instances.thaw()
    assert window.order()["arguments"] == {"a": "1", "b": "0"}


def test_the_end_of_the_second_command_without_an_answer_leaves_the_instance_to_a_visit(
    window: Window,
) -> None:
    for each in ("a", "b"):
        window.say(each, word="before", code="0")
    window.instances.thaw()
    window.say("a", word="after", attempt=1, code="0", by="worker")
    window.say("b", word="gone", why="SSM says TimedOut")
    assert window.instances.afters_are_known
    assert window.there("b").is_owed
