"""Second sessions: what is asked, how often, and that nobody waits for somebody else."""

import secrets
import threading
from pathlib import Path

import pytest

from scripts_admin.guard import journal
from scripts_admin.runners import far, visiting
from scripts_admin.runners.far import Carried, Order
from scripts_admin.runners.sessions import Begun
from scripts_admin.runners.visiting import Visit, Visitor
from tests.ground import local_carrier
from tests.scripts_admin.guard.stage import SECRET, until

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
