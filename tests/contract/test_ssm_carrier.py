"""A carrier whose runner speaks over SSM, between a guard's words and agents that behave as on AWS."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from n2wbackup.demo.aws import SimulatedAws
from policies.adapters import ssm_order
from policies.ports import Credentials
from scripts_admin.guard.instances import MOST_BYTES
from scripts_admin.runners import ssm_texts
from scripts_admin.runners.starting import Started
from tests.contract.clouds import REGION
from tests.contract.test_simulated_aws import is_alive, wait_until
from tests.contract.test_ssm_window import Ground

PATIENCE = 60


class Guard:
    """The guard's end of the socket of a carrier's process: what it says, and what it has heard."""

    def __init__(self, ground: Ground, *instances: str) -> None:
        texts = dict.fromkeys(instances, ssm_texts.texts(ground.order))
        document = ssm_order.document(
            "a-run", REGION, Credentials(), ground.order.nonce, texts, 300.0
        )
        self.started = Started(ssm_order.PROGRAM, document, instances)
        self.answers = self.started.answers(PATIENCE)
        self._socket = self.started.hand_over(instances).socket
        self._socket.settimeout(PATIENCE)
        self.heard: list[dict[str, Any]] = []

    def say(self, **word: object) -> None:
        self._socket.send(json.dumps(word).encode())

    def hears(self, done: Callable[[], object]) -> None:
        while not done():
            self.heard.append(json.loads(self._socket.recv(MOST_BYTES)))

    def of(self, word: str) -> dict[str, dict[str, Any]]:
        return {each["instance"]: each for each in self.heard if each["word"] == word}

    def close(self) -> None:
        self._socket.close()
        wait_until(lambda: not is_alive(self.started.pid))


@pytest.fixture
def ground(aws: SimulatedAws, tmp_path: Path) -> Iterator[Ground]:
    with Ground.made(aws, tmp_path) as made:
        yield made


def test_a_window_of_two_instances_while_a_third_is_refused(
    ground: Ground, aws: SimulatedAws
) -> None:
    fine, failing, gone = (
        ground.instance("echo hello"),
        ground.instance("exit 3"),
        ground.instance(),
    )
    aws.set_agent(gone, "lost")
    guard = Guard(ground, fine, failing, gone)
    try:
        assert set(guard.answers.armed) == {fine, failing}
        assert "ConnectionLost" in guard.answers.refused[gone].why
        assert aws.calls("SendCommand") == []
        guard.say(word="go", instances=[fine, failing])
        guard.hears(lambda: len(guard.of("before")) == 2)
        assert {each: word["code"] for each, word in guard.of("before").items()} == {
            fine: "0",
            failing: "3",
        }
        guard.say(word="thaw", arguments={fine: "1", failing: "0"})
        guard.hears(lambda: len(guard.of("over")) == 2)
        assert guard.of("thawing")[fine]["argument"] == "1"
        assert guard.of("thawing")[failing]["argument"] == "0"
        assert {word["by"] for word in guard.of("thawing").values()} == {"worker"}
        guard.say(word="fetch", instances=[fine, failing])
        guard.hears(lambda: len(guard.of("fetched")) == 2)
        streams = {each["stream"] for each in guard.heard if each["word"] == "out"}
        assert {"before.1.stdout", "after.1.stdout"} <= streams
        assert ground.ledger(gone) == []
    finally:
        guard.close()


def test_an_instance_that_is_lost_in_before_gets_its_thaw_all_the_same(
    ground: Ground, aws: SimulatedAws
) -> None:
    one = ground.instance()
    guard = Guard(ground, one)
    try:
        aws.fault("SendCommand", "lost_answer")
        guard.say(word="go", instances=[one])
        guard.hears(lambda: guard.of("lost"))
        guard.say(word="thaw", arguments={one: "0"})
        guard.hears(lambda: guard.of("over") or guard.of("after"))
        assert ground.is_not_frozen(one)
    finally:
        guard.close()


def test_an_account_that_may_not_ask_ssm_has_its_instances_refused_with_the_permission(
    ground: Ground, aws: SimulatedAws
) -> None:
    one = ground.instance()
    aws.fault("DescribeInstanceInformation", "denied")
    guard = Guard(ground, one)
    try:
        assert "ssm:DescribeInstanceInformation" in guard.answers.refused[one].why
    finally:
        guard.close()
    assert aws.calls("SendCommand") == []
