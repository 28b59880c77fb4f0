"""The drill of one instance, on far sides of this machine: what a cut connection brings about is read, not assumed."""

import os
import secrets
import signal
from collections.abc import Callable

import pytest

from scripts_admin.runners import drilling, far
from scripts_admin.runners.drilling import Drilled, NotDrilledError
from scripts_admin.runners.refusals import RefusedError, Why
from scripts_admin.runners.wires import Begun
from tests.ground.local_carrier import LocalWire

pytestmark = pytest.mark.real


def started(text: bytes, close: Callable[[LocalWire], None] = LocalWire.close) -> Begun:
    wire = LocalWire(far.launch(text), text)
    return Begun(wire, lambda: close(wire), lambda noise: f"it printed {noise.decode()!r}")


def drilled(begin: Callable[[bytes], Begun]) -> Drilled:
    return drilling.drill(drilling.order(secrets.token_hex(16)), begin)


def test_an_instance_that_thaws_by_itself_is_read_in_a_second_session() -> None:
    assert drilled(started).by == "eof"


def test_a_session_that_outlives_its_connection_is_no_proof(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drilling, "BACK_SECONDS", 0.3)
    held: list[LocalWire] = []

    def begin(text: bytes) -> Begun:
        return started(text, LocalWire.close if held else held.append)

    found = drilled(begin)
    held[0].close()

    assert found == Drilled(by="", state="live")


def test_whoever_ends_the_far_side_with_its_connection_is_found_out() -> None:
    begun: list[LocalWire] = []

    def kill(wire: LocalWire) -> None:
        # As logind does at the end of a session: the wrapper, and everybody else of it.
        os.killpg(wire.process.pid, signal.SIGKILL)
        wire.close()

    def begin(text: bytes) -> Begun:
        made = started(text, LocalWire.close if begun else kill)
        assert isinstance(made.wire, LocalWire)
        begun.append(made.wire)
        return made

    assert drilled(begin).by != "eof"


def test_where_nothing_can_be_armed_nothing_is_cut() -> None:
    def begin(_: bytes) -> Begun:
        wire = LocalWire("read -r _; echo This account is closed", b"hello\n")
        return Begun(wire, wire.close, lambda noise: f"it printed {noise.decode().strip()!r}")

    with pytest.raises(NotDrilledError, match="This account is closed"):
        drilled(begin)


def test_a_second_session_that_cannot_be_opened_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drilling, "_PAUSE_SECONDS", 0.0)
    calls: list[bytes] = []

    def begin(text: bytes) -> Begun:
        calls.append(text)
        if len(calls) == 2:
            raise RefusedError(Why.LOST, "the connection was lost")
        return started(text)

    assert drilled(begin).by == "eof"
    assert len(calls) == 3


def test_one_that_never_stops_talking_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drilling, "ANSWER_SECONDS", 0.2)
    of = drilling.order(secrets.token_hex(16))

    def begin(_: bytes) -> Begun:
        wire = LocalWire(f"while echo n2w1 {of.nonce} pong 1 1.0; do :; done", b"")
        return Begun(wire, wire.close, lambda noise: f"it said {len(noise)} bytes of noise")

    with pytest.raises(NotDrilledError, match="noise"):
        drilling.drill(of, begin)
