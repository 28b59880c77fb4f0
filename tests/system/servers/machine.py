"""A second machine on this one: processes and network of its own, with doors to what both servers share.

It is made of Linux namespaces, so it loses its power at once and wholly: nothing of it survives its first
process. Its doors are the only way out; while they are shut, what is sent waits, as in a network that is cut.
"""

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.ground import components

_CLONE_NEWNET = 0x40000000
_PIECE = 65536


@dataclass
class Machine:
    """The machine. `within` is the command whose arguments run on it."""

    name: str
    within: tuple[str, ...]
    open: threading.Event = field(default_factory=threading.Event)
    _sockets: list[socket.socket] = field(default_factory=list)

    def cut(self) -> None:
        """Shut the doors: nothing comes through, and nobody is told."""
        self.open.clear()

    def join(self) -> None:
        """Open the doors again."""
        self.open.set()

    def let_out(self, ports: Sequence[int]) -> None:
        """Make doors to these ports of loopback, under the same numbers."""
        for port in ports:
            listening = threading.Event()
            threading.Thread(target=self._keep_door, args=(port, listening), daemon=True).start()
            listening.wait(30)
        self.open.set()

    def _keep_door(self, port: int, listening: threading.Event) -> None:
        with Path(f"/run/netns/{self.name}").open("rb") as there, _home() as back:
            _enter(there.fileno())
            door = socket.create_server(("127.0.0.1", port), backlog=256)
            _enter(back)
        self._sockets.append(door)
        listening.set()
        with contextlib.suppress(OSError):
            while True:
                inside, _ = door.accept()
                self.open.wait()
                with contextlib.suppress(OSError):
                    outside = socket.create_connection(("127.0.0.1", port), 10)
                    self._sockets += [inside, outside]
                    for pair in ((inside, outside), (outside, inside)):
                        threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        one.settimeout(None)
        with contextlib.suppress(OSError):
            while piece := one.recv(_PIECE):
                self.open.wait()
                other.sendall(piece)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take the doors away."""
        self.open.set()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.close()


@contextlib.contextmanager
def _home() -> Iterator[int]:
    """Give a descriptor of this thread's own network."""
    held = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        yield held
    finally:
        os.close(held)


def _enter(network: int) -> None:
    """Take this thread into a network. Sockets stay in the network in which they were made."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(network, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def made(ports: Sequence[int]) -> Iterator[Machine]:
    """Make a machine with doors to these ports; the test is reported missing where that is not allowed."""
    components.needs_root("a second machine")
    ip, nsenter, unshare = (str(components.program(n)) for n in ("ip", "nsenter", "unshare"))
    name = f"n2w-{secrets.token_hex(4)}"
    subprocess.run([ip, "netns", "add", name], check=True)
    own = (unshare, "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--")
    # unshare takes no TERM while it waits for its child.
    ends = (str(components.program("setpriv")), "--pdeathsig", "KILL", "--")
    machine = Machine(name, (*ends, nsenter, f"--net=/run/netns/{name}", "--", *own))
    try:
        subprocess.run([ip, "-n", name, "link", "set", "lo", "up"], check=True)
        machine.let_out(ports)
        yield machine
    finally:
        machine.close()
        subprocess.run([ip, "netns", "del", name], check=False)


def first_process(unshare: int) -> int | None:
    """Return the machine's first process: the only child of `unshare`."""
    with contextlib.suppress(OSError, IndexError):
        children = Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()
        return int(children[0])
    return None


def tell(pid: int | None, number: signal.Signals) -> None:
    """Signal a process that may be gone."""
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
