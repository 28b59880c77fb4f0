"""Second sessions: what is asked, how often, and that nobody waits for somebody else."""

import os
import secrets
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts_admin.guard import journal
from scripts_admin.guard.on_instances import MOST_OUTPUTS
from scripts_admin.runners import far, visiting
from scripts_admin.runners.far import Carried, Order
from scripts_admin.runners.visiting import Inquiry, Visit, Visitor
from scripts_admin.runners.wires import Begun
from scripts_admin.runners.words import After, By, Out, Over, Thawing, Word
from tests.ground import local_carrier
from tests.scripts_admin.guard.stage import SECRET, until

NONCE = "0" * 16
BY_ITSELF = {"orphan", "deadline"}  # its window had no time left from the beginning


def order() -> Order:
    after = f"#!/bin/sh\necho after $1 {SECRET.decode()}\n".encode()
    return Order(secrets.token_hex(16), None, Carried("after.sh", after))


def visit(name: str, of: Order) -> Visit:
    text = far.program(of, "look")
    return Visit(name, of.nonce, lambda: local_carrier.begin(text, text))


class Nobody:
    """An address where nobody answers until it is let go."""

    def __init__(self) -> None:
        self.tries = 0
        self.gone = threading.Event()

    def begin(self) -> Begun:
        self.tries += 1
        self.gone.wait()
        raise OSError("no route")


def test_who_has_no_far_side_any_more_thaws_once_and_tells(tmp_path: Path) -> None:
    Visitor(tmp_path, lambda: True, [SECRET]).visit([visit("a", order())])

    there = journal.visits(tmp_path).of("a")
    assert there.thaw_by == there.over
    assert there.over in BY_ITSELF
    assert there.argument == "0"
    assert there.afters[1].exit_code == 0
    printed = there.outputs["after.1.stdout"]
    assert printed.startswith("after 0 ")
    assert SECRET.decode() not in printed


def test_a_dead_address_delays_nobody_and_ends_with_the_run(tmp_path: Path) -> None:
    nobody, is_wanted = Nobody(), threading.Event()
    is_wanted.set()
    visitor = Visitor(tmp_path, is_wanted.is_set)
    visits = [Visit("dead", "0" * 16, nobody.begin), visit("a", order())]
    thread = threading.Thread(target=visitor.visit, args=(visits,))
    thread.start()

    until(lambda: journal.visits(tmp_path).of("a").over)
    assert nobody.tries == 1
    is_wanted.clear()
    nobody.gone.set()
    thread.join()


def test_an_address_is_tried_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visiting, "PAUSES", (0.0, 0.01, 0.01))
    tries = iter(range(4))
    alive = visit("a", order())

    def begin() -> Begun:
        if next(tries) < 3:
            raise OSError("no route")
        return alive.begin()

    Visitor(tmp_path, lambda: True).visit([Visit("a", alive.nonce, begin)])

    assert journal.visits(tmp_path).of("a").over in BY_ITSELF


class Talkative:
    """A far side that says the same again and again, and makes outputs up, before it is over."""

    def __init__(self, nonce: str) -> None:
        said = ["thawing worker 1 1.00", "after 1 1 worker", "out after.1.stdout 0 0 0"] * 50
        said += [f"out after.{number}.stderr 0 0 0" for number in range(1, 50)]
        lines = [*said, "over worker", "out end 0 0 0"]
        self._text = "".join(f"n2w1 {nonce} {line}\n" for line in lines).encode()
        self._read, self._write = os.pipe()
        os.close(self._write)
        self.is_over = True

    def fileno(self) -> int:
        return self._read

    def read(self) -> bytes:
        piece, self._text = self._text[:1000], self._text[1000:]
        return piece

    def read_errors(self) -> bytes:
        return b""

    def send(self, _: bytes) -> bool:
        return True

    def close(self) -> None:
        os.close(self._read)


def test_who_repeats_itself_or_makes_outputs_up_is_written_down_once(tmp_path: Path) -> None:
    def begin() -> Begun:
        wire = Talkative(NONCE)
        return Begun(wire, wire.close, str)

    visitor = Visitor(tmp_path, lambda: True)
    visitor.visit([Visit("a", NONCE, begin)])
    visitor.visit([Visit("a", NONCE, begin)])

    there = journal.visits(tmp_path).of("a")
    assert there.over == "worker"
    assert len(there.outputs) == MOST_OUTPUTS
    lines = (tmp_path / journal.VISITS).read_text().splitlines()
    assert len(lines) == 3 + MOST_OUTPUTS


class Silent:
    """A far side that takes the program, says one word, and then nothing more; the next one is sound."""

    def __init__(self, of: Order) -> None:
        self.tries = 0
        self._sound = visit("a", of)
        self._word = f"echo 'n2w1 {of.nonce} look live boot 1.00'; cat > /dev/null"

    def begin(self) -> Begun:
        self.tries += 1
        if self.tries > 1:
            return self._sound.begin()
        wire = local_carrier.LocalWire(self._word, b"")
        return Begun(wire, wire.close, lambda _: "")


def test_a_far_side_that_falls_silent_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visiting, "QUIET_SECONDS", 1.0, raising=False)
    monkeypatch.setattr(visiting, "PAUSES", (0.0,))
    of = order()
    silent, until_late = Silent(of), threading.Event()
    thread = threading.Thread(
        target=Visitor(tmp_path, lambda: not until_late.is_set()).visit,
        args=([Visit("a", of.nonce, silent.begin)],),
    )
    thread.start()
    try:
        until(lambda: journal.visits(tmp_path).of("a").over)
    finally:
        until_late.set()
        thread.join()

    assert silent.tries == 2


def test_where_there_is_no_session_all_is_told_in_one_go_and_asked_until_it_is_over(
    tmp_path: Path,
) -> None:
    thaw: list[Word] = [Thawing(By.ORPHAN, "0", 1.0), After(1, 0, By.ORPHAN)]
    printed = Out("after", 1, "stdout", b"thawed " + SECRET, 0, b"")
    answers: list[list[Word] | Exception] = [
        OSError("SSM is away"),
        [],
        [*thaw, Over(By.ORPHAN), printed, Out("end", 0, "", b"", 0, b"")],
    ]

    def ask(is_wanted: Callable[[], bool]) -> list[Word]:
        assert is_wanted()
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    visiting.hurry(tmp_path)
    Visitor(tmp_path, lambda: True, [SECRET]).visit([Inquiry("a", ask)])

    there = journal.visits(tmp_path).of("a")
    assert answers == []
    assert (there.thaw_by, there.over) == ("orphan", "orphan")
    assert there.outputs["after.1.stdout"].startswith("thawed ")
    assert SECRET.decode() not in there.outputs["after.1.stdout"]
