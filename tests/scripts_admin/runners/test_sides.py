"""One side's words, on a wire of its own: whatever it says, it harms itself alone, and is not believed too much."""

import contextlib
import selectors
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from scripts_admin.guard import linux
from scripts_admin.runners.sessions import Order, Sessions
from scripts_admin.runners.wires import Begun

NONCE = "a" * 32


class ToldWire:
    """A wire that says what a test puts into it, and keeps what it was told."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self.ours, self._theirs = socket.socketpair()
        self.waiting, self.told, self.is_over = b"", b"", False

    def says(self, *lines: str) -> None:
        self.waiting += "".join(f"n2w1 {NONCE} {line}\n" for line in lines).encode()

    def fileno(self) -> int:
        return self.ours.fileno()

    def read(self) -> bytes:
        found, self.waiting = self.waiting, b""
        return found

    def read_errors(self) -> bytes:
        return b""

    def send(self, data: bytes) -> bool:
        self.told += data
        return True

    def close(self) -> None:
        self.ours.close()
        self._theirs.close()


class Carried:
    """A runner of one instance or more, and what it has said to its guard."""

    def __init__(self, *names: str) -> None:
        """Open every session; nobody has said that it is ready."""
        self.wires = {name: ToldWire() for name in names}
        self.second = ToldWire()
        self.closed = set[str]()
        self.said = list[dict[str, Any]]()
        self.selector = selectors.DefaultSelector()
        self.runner = Sessions([Order(name, NONCE, partial(self._begun, name)) for name in names])
        self.runner.begin(self.selector, lambda **word: self.said.append(word))
        opened = {wire.fileno() for wire in self.wires.values()}
        while not opened <= self.selector.get_map().keys():
            self.turn(seconds=5.0)

    def _begun(self, name: str) -> Begun:
        return Begun(
            self.wires[name], lambda: self.closed.add(name), lambda _: "not", lambda: self.second
        )

    def turn(self, seconds: float = 0.0) -> None:
        for key, _ in self.selector.select(seconds):
            key.data(key.fd)
        for wire in [*self.wires.values(), self.second]:
            if wire.waiting or wire.is_over:
                found = self.selector.get_map().get(wire.fileno())
                if found is not None:
                    found.data(found.fd)
        self.runner.tick(linux.boottime())

    def close(self) -> None:
        self.runner.close()
        self.selector.close()
        for wire in [*self.wires.values(), self.second]:
            wire.close()

    def arm(self, *names: str) -> None:
        for name in names or self.wires:
            self.wires[name].says("ready 1 boot 1.00 /dev/shm/n2w-x")
            self.turn()

    def words(self, instance: str = "a") -> list[str]:
        return [each["word"] for each in self.said if each["instance"] == instance]


@pytest.fixture
def two() -> Iterator[Carried]:
    with contextlib.closing(Carried("a", "b")) as carried:
        yield carried


def test_a_second_channel_that_is_refused_does_not_say_that_nothing_ran(two: Carried) -> None:
    two.arm()
    two.wires["a"].says("pong 1 5.00")
    two.turn()
    two.runner.go(["a", "b"])
    two.wires["a"].says("before 0 6.00")
    two.turn()
    two.wires["a"].is_over = True
    two.turn()
    two.turn(seconds=5.0)
    two.second.says(
        "look absent boot 7.00", "refused the scripts need a little memory: /dev/shm is full"
    )
    two.turn()
    two.second.is_over = True
    two.turn()

    assert "refused" not in two.words()
    assert two.words()[-1] == "gone"


def test_only_those_are_told_to_go_that_the_guard_names(two: Carried) -> None:
    two.arm("a")
    two.arm("b")  # after the worker has given it up
    for wire in two.wires.values():
        wire.says("pong 1 5.00")
    two.turn()

    two.runner.go(["a"])

    assert b"go " in two.wires["a"].told
    assert b"go " not in two.wires["b"].told


@pytest.mark.parametrize("number", ["inf", "nan", "-inf", "1e400", "-1", "1e300"])
def test_a_clock_that_is_no_time_ends_nobody_else(two: Carried, number: str) -> None:
    two.arm()
    two.wires["a"].says(f"pong 1 {number}")
    two.wires["b"].says("pong 1 5.00")
    two.turn()

    two.runner.go(["a", "b"])
    two.turn()

    assert b"go 7.00" in two.wires["b"].told
    assert b"inf" not in two.wires["a"].told
    assert b"nan" not in two.wires["a"].told


@pytest.mark.parametrize(
    "line",
    [
        "before 0 6.00",
        "after 1 0 worker",
        "thawing worker 1 6.00",
        "over worker",
        "ready 1 b 1.00 /x",
    ],
)
def test_one_that_never_stops_talking_is_lost(two: Carried, line: str) -> None:
    two.arm()
    two.said.clear()

    for _ in range(200):
        two.wires["a"].says(*[line] * 100)
        two.turn()

    assert len(two.said) < 5000
    assert two.words()[-1] == "gone"
    assert two.closed == {"a"}


def test_outputs_that_nobody_asked_for_are_not_passed_on(two: Carried) -> None:
    two.arm()
    two.wires["a"].waiting += f"n2w1 {NONCE} out before.1.stdout 5 5 0\nhello".encode()
    two.turn()

    assert "out" not in two.words()


@pytest.mark.parametrize(
    "line", ["after 99999999999999 0 worker", "after 1 99999999999999 worker", "before 1e9 1.00"]
)
def test_a_number_that_no_row_can_keep_is_no_word(two: Carried, line: str) -> None:
    two.arm()
    two.said.clear()
    two.wires["a"].says(line)
    two.turn()

    assert two.said == []


def test_what_a_side_gives_as_its_reason_is_written_out(two: Carried) -> None:
    two.wires["a"].says("refused \x1b[2J\0evil")
    two.turn()

    (said,) = [each["why"] for each in two.said]
    assert said.isprintable()
    assert "evil" in said
