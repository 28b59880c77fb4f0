"""A carrier whose far sides are shells of this machine, each on a socket pair: `python -m … DESCRIPTOR`.

It is the product's carrier in everything but how a session is opened.
"""

import base64
import json
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from functools import partial

from scripts_admin.runners import carrier, far
from scripts_admin.runners.sessions import Order, Sessions
from scripts_admin.runners.wires import Begun

PROGRAM = (sys.executable, "-B", "-m", "tests.ground.local_carrier")


class LocalWire:
    """A shell's standard input and output."""

    def __init__(self, command: str, program: bytes) -> None:
        """Start it, and give it its program."""
        self._ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                ["sh", "-c", command],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        threading.Thread(target=self.process.wait, daemon=True).start()
        self._ours.sendall(program)
        self._ours.settimeout(0.0)
        self.is_over = False

    def fileno(self) -> int:
        return self._ours.fileno()

    def read(self) -> bytes:
        with suppress(BlockingIOError):
            try:
                data = self._ours.recv(1 << 20)
            except ConnectionError:
                data = b""
            self.is_over = not data
            return data
        return b""

    def read_errors(self) -> bytes:
        return b""

    def send(self, data: bytes) -> bool:
        try:
            self._ours.sendall(data)
        except OSError:
            return False
        return True

    def close(self) -> None:
        with suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)
        self._ours.close()


def begin(text: bytes, second: bytes) -> Begun:
    """Start a program on this machine."""
    wire = LocalWire(far.launch(text), text)
    return Begun(
        wire,
        wire.close,
        lambda noise: f"it did not begin: {noise.decode()!r}",
        lambda: LocalWire(far.launch(second), second),
    )


def main() -> None:
    """Carry as the document on standard input says."""
    guard = socket.socket(fileno=int(sys.argv[1]))
    said = json.load(sys.stdin)
    carrier.settle_in(str(said["run"]))
    orders = [
        Order(
            instance=raw["instance"],
            nonce=raw["nonce"],
            begin=partial(begin, base64.b64decode(raw["program"]), base64.b64decode(raw["second"])),
        )
        for raw in said["orders"]
    ]
    try:
        carrier.Carrier(guard, Sessions(orders)).carry()
    finally:
        carrier.leave()


if __name__ == "__main__":
    main()
