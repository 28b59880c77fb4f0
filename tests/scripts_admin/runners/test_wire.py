"""A far side that prints without an end, or takes nothing, keeps nobody else waiting."""

import socket
import threading
from collections.abc import Iterator
from typing import cast

import pytest
from paramiko import Channel, ECDSAKey, ServerInterface, Transport
from paramiko.common import AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from scripts_admin.runners.ssh import Wire
from tests.ground.leeway import LEEWAY

WINDOW_BYTES = 32 * 1024


class Endless:
    """A channel that always has more."""

    def settimeout(self, _: float) -> None:
        pass

    def fileno(self) -> int:
        return -1

    def recv_ready(self) -> bool:
        return True

    def recv_stderr_ready(self) -> bool:
        return True

    def recv(self, size: int) -> bytes:
        return b"x" * size

    recv_stderr = recv


def test_a_far_side_that_never_stops_printing_is_read_in_parts() -> None:
    wire = Wire(cast("Channel", Endless()))
    assert 0 < len(wire.read()) <= 1 << 20
    assert 0 < len(wire.read_errors()) <= 1 << 20


class Deaf(ServerInterface):
    """A host that starts what it is asked to, and reads nothing."""

    def check_auth_none(self, username: str) -> int:
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: Channel, command: bytes) -> bool:
        return True


@pytest.fixture
def channel() -> Iterator[Channel]:
    ours, theirs = socket.socketpair()
    host, transport = Transport(theirs, default_window_size=WINDOW_BYTES), Transport(ours)
    try:
        host.add_server_key(ECDSAKey.generate())
        host.start_server(server=Deaf(), event=threading.Event())
        transport.start_client(timeout=LEEWAY)
        transport.auth_none("somebody")
        made = transport.open_session(timeout=LEEWAY)
        made.exec_command("true")
        yield made
    finally:
        transport.close()
        host.close()


def test_a_far_side_that_takes_nothing_any_more_is_lost_at_once(channel: Channel) -> None:
    wire, said = Wire(channel), list[bool]()
    assert wire.send(b"ping 1\n")
    sending = threading.Thread(
        target=lambda: said.append(wire.send(b"x" * WINDOW_BYTES)), daemon=True
    )
    sending.start()
    sending.join(LEEWAY)
    assert said == [False]
