"""What the runner over SSM tells a guard of what became of both commands."""

import selectors
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from scripts_admin.runners import far
from scripts_admin.runners.commands import Commands
from scripts_admin.runners.ssm import Fleet, NotSentError
from scripts_admin.runners.ssm_texts import Texts
from tests.ground.leeway import LEEWAY
from tests.scripts_admin.runners.fake_ssm import FakeSsm

NONCE = "f00d"
TEXTS = Texts("a", "b0", "b1", "unbegun")


class Carrier:
    """A carrier's loop, and what was said to its guard."""

    def __init__(self, check: Callable[[], Mapping[str, str]] = dict) -> None:
        self.client, self.selector = FakeSsm(), selectors.DefaultSelector()
        self.heard: list[dict[str, Any]] = []
        fleet = Fleet(self.client, NONCE, "n2wbackup")
        self.runner = Commands(fleet, {"i-1": TEXTS, "i-2": TEXTS}, check)
        self.runner.begin(self.selector, lambda **word: self.heard.append(word))
        self.hears(lambda: len(self.heard) == 2)

    def hears(self, done: Callable[[], object]) -> None:
        until = time.monotonic() + LEEWAY
        while not done():
            assert time.monotonic() < until, self.heard
            for key, _ in self.selector.select(0.05):
                key.data(key.fd)

    def of(self, word: str, instance: str = "i-1") -> list[dict[str, Any]]:
        return [e for e in self.heard if (e["word"], e["instance"]) == (word, instance)]

    def armed(self) -> None:
        self.runner.go(["i-1", "i-2"])
        self.hears(lambda: self.client.sent)

    def thawed(self, argument: str = "1") -> None:
        self.runner.thaw({"i-1": argument})
        self.hears(lambda: len(self.client.sent) == 2)

    def says(self, command: str, *lines: str, status: str = "Success") -> None:
        text = "".join(f"n2w1 {NONCE}i-1 {line}\n" for line in lines)
        self.client.end(command, "i-1", text, status)

    def close(self) -> None:
        self.runner.close()
        self.selector.close()


@pytest.fixture
def carrier() -> Iterator[Carrier]:
    made = Carrier()
    yield made
    made.close()


def test_an_a_that_says_nothing_is_lost_and_b_goes_out_all_the_same(carrier: Carrier) -> None:
    carrier.armed()
    carrier.says("c1", status="TimedOut")
    carrier.hears(lambda: carrier.of("lost"))
    carrier.thawed("0")
    assert carrier.client.sent[1] == (("i-1",), "unbegun")
    carrier.says("c2", "over never")
    carrier.hears(lambda: carrier.of("over"))


def test_where_before_ran_b_runs_after_even_if_nothing_is_left_of_a(carrier: Carrier) -> None:
    carrier.armed()
    carrier.says("c1", "before 3 1.00")
    carrier.hears(lambda: carrier.of("before"))
    carrier.thawed("0")
    assert carrier.client.sent[1] == (("i-1",), "b0")


def test_where_an_agent_has_a_before_may_have_run(carrier: Carrier) -> None:
    carrier.armed()
    carrier.client.begin("c1", "i-1")
    looks = len(carrier.client.looks)
    carrier.hears(lambda: len(carrier.client.looks) >= looks + 2)
    carrier.thawed("0")
    assert carrier.client.sent[1] == (("i-1",), "b0")


def test_an_a_that_cannot_run_there_is_refused_in_the_far_sides_words(carrier: Carrier) -> None:
    carrier.armed()
    carrier.says("c1", "refused sh is not on this instance")
    carrier.hears(lambda: carrier.of("refused"))
    assert carrier.of("refused")[0]["why"] == "sh is not on this instance"


def test_an_a_that_was_there_before_proves_nothing(carrier: Carrier) -> None:
    carrier.armed()
    carrier.says("c1", f"refused {far.STARTED_BEFORE}")
    carrier.hears(lambda: carrier.of("lost"))
    assert carrier.of("refused") == []


def test_a_b_that_is_refused_or_says_nothing_leaves_the_instance_to_a_visit(
    carrier: Carrier,
) -> None:
    carrier.armed()
    carrier.says("c1", "before 0 1.00")
    carrier.thawed()
    carrier.says("c2", "refused /run/n2w-x belongs to somebody else or is open to others")
    carrier.hears(lambda: carrier.of("gone"))
    assert carrier.of("refused") == []


def test_a_b_that_aws_does_not_take_at_once_is_sent_again_and_nobody_gives_up(
    carrier: Carrier,
) -> None:
    carrier.armed()
    carrier.says("c1", "before 0 1.00")
    carrier.client.refusals = [NotSentError("throttled", again=True)]
    carrier.thawed()
    carrier.says("c2", "thawing worker 1 2.00", "after 1 0 worker", "over worker")
    carrier.hears(lambda: carrier.of("over"))
    assert carrier.of("gone") == []
