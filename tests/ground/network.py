"""A network of a thread's own, in which connections can be cut: packets vanish, and nobody is told.

It has nothing but loopback. Whoever is started in it by this thread lives in it, so a server and an sshd meet at
127.0.0.1 as before; what is dropped there is dropped nowhere else.
"""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from tests.ground import components

_CLONE_NEWNET = 0x40000000
_CHAIN = ("inet", "n2wbackup_test", "cut")
_RULES = """
table inet n2wbackup_test {
 chain cut {
  type filter hook input priority 0; policy accept;
 }
}
"""


@dataclass(frozen=True)
class Network:
    """The network of the thread that made it; only that thread may cut and heal."""

    nft: str

    def cut(self, *ports: int, towards: bool = True, back: bool = True) -> None:
        """Drop what is sent to the server at these ports, and what it sends back, or one of both."""
        ways = [name for name, is_cut in (("dport", towards), ("sport", back)) if is_cut]
        lines = [f"add rule {' '.join(_CHAIN)} tcp {way} {p} drop" for way in ways for p in ports]
        self._do("\n".join(lines))

    def heal(self) -> None:
        """Let everything through again. Harmless when nothing is cut."""
        self._do(f"flush chain {' '.join(_CHAIN)}")

    def _do(self, rules: str) -> None:
        subprocess.run([self.nft, "-f", "-"], input=f"{rules}\n", text=True, check=True)


@contextlib.contextmanager
def own() -> Iterator[Network]:
    """Take this thread into a network of its own for the block: also the threads and processes that it starts."""
    components.needs_root("a network of its own")
    ip, nft = (str(components.program(name)) for name in ("ip", "nft"))
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _call("unshare", _CLONE_NEWNET)
        try:
            subprocess.run([ip, "link", "set", "lo", "up"], check=True)
            network = Network(nft)
            network._do(_RULES)
            yield network
        finally:
            _call("setns", back, _CLONE_NEWNET)
    finally:
        os.close(back)


def _call(name: str, *words: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*words) != 0:
        raise OSError(ctypes.get_errno(), name)
