"""A real sshd with a port for each kind of trouble, and sessions to it."""

import contextlib
import selectors
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts_admin.runners import ssh
from scripts_admin.runners.ssh import Address, Key, RefusedError, Session, Wire
from tests.ground import sshd
from tests.ground.sshd import Sshd

SECONDS = 30.0  # a loaded machine may take a while; nothing here waits for it to pass
NOISE = 'echo "Welcome"; echo "to this machine" >&2; exec sh -c "$SSH_ORIGINAL_COMMAND"'
ALSO = {
    "forced": ["ForceCommand echo Hello from another command"],
    "sftp": ["ForceCommand internal-sftp"],
    "noisy": [f"ForceCommand {NOISE}"],
    "more": [
        "AuthenticationMethods publickey,keyboard-interactive",
        "KbdInteractiveAuthentication yes",
    ],
    "password": ["PubkeyAuthentication no", "PasswordAuthentication yes"],
    "alone": ["AllowTcpForwarding no"],
    "none": ["MaxSessions 0"],
}


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Sshd]:
    """Run an sshd with a port for each name of ALSO, and one where everybody is nobody, with our own sudoers file."""
    nobody = (
        f"unshare --mount sh -c 'mount --bind {folder}/sudoers /etc/sudoers && exec setpriv --reuid nobody "
        '--regid nogroup --clear-groups sh -c "$SSH_ORIGINAL_COMMAND"\''
    )
    with sshd.running(folder, also={**ALSO, "nobody": [f"ForceCommand {nobody}"]}) as server:
        yield server


def at(server: Sshd, name: str = "", *, bastion: Address | None = None) -> Address:
    """The way in at the plain port, or at one with settings of its own."""
    port = server.ports[name] if name else server.port
    return Address("127.0.0.1", port, server.user, (server.host_key,), bastion=bastion)


def everything(wire: Wire) -> tuple[bytes, bytes]:
    """Wait for the command's end as the carrier does; return what it printed."""
    out, errors = b"", b""
    with selectors.DefaultSelector() as selector:
        selector.register(wire, selectors.EVENT_READ)
        until = time.monotonic() + SECONDS
        while not wire.is_over and time.monotonic() < until:
            selector.select(until - time.monotonic())
            out, errors = out + wire.read(), errors + wire.read_errors()
    return out + wire.read(), errors + wire.read_errors()


def opened(address: Address, key: Key) -> Session:
    return ssh.open_session(address, key, SECONDS)


def refused(address: Address, key: Key, seconds: float = SECONDS) -> RefusedError:
    with pytest.raises(RefusedError) as raised:
        ssh.open_session(address, key, seconds).close()
    return raised.value
