"""What is read of a far side at once is bounded, however fast it prints."""

from typing import cast

from paramiko import Channel

from scripts_admin.runners.ssh import Wire


class Endless:
    """A channel that always has more."""

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
