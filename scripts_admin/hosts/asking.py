"""Asking a host for its SSH key: one connection with a bound, to an address that is judged, and no login.

A tenant names the host and the server connects, so the server must be no way to itself, to the metadata service of
its cloud, or to a list of open ports: every failure of a connection gives the same sentence.
"""

import logging
import socket
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings

from n2wbackup.lib import own_addresses, reach
from scripts_admin.domain import ssh
from scripts_admin.domain.ssh import PublicKey

if TYPE_CHECKING:
    from paramiko import Transport

log = logging.getLogger(__name__)
_RSA = ("rsa-sha2-512", "rsa-sha2-256")


class Slots:
    """Places for threads that may hang: few in all, and fewer for one tenant, so that nobody takes them all."""

    def __init__(self, most: int, of_one: int) -> None:
        """All are free."""
        self._most, self._of_one = most, of_one
        self._taken = Counter[object]()
        self._changed = threading.Condition()

    def take(self, whom: object, seconds: float) -> bool:
        """Wait for a free one, for so long at most, and tell whether there was one."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_free(whom), seconds):
                return False
            self._taken[whom] += 1
            return True

    def give_back(self, whom: object) -> None:
        with self._changed:
            self._taken[whom] -= 1
            self._taken += Counter()  # forget those who have none
            self._changed.notify_all()

    def _is_free(self, whom: object) -> bool:
        return self._taken.total() < self._most and self._taken[whom] < self._of_one


_RESOLVERS = Slots(most=16, of_one=4)  # the resolver has no deadline


class NotAskedError(Exception):
    """No key was received; the text is a sentence for people. It says nothing about the host's key."""


class OtherKindError(NotAskedError):
    """The host speaks SSH, and has no key of the kinds that were asked for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The key that a host showed, and the IP address at which it did."""

    key: PublicKey
    address: str


def ask(
    name: str, port: int, seconds: float, kinds: Sequence[str] = ssh.KINDS, *, whom: object = None
) -> Answer:
    """Return the key with which the host answers, proved by its signature; the first of `kinds` that it has.

    `whom`: for which tenant; names of one that hang do not keep others waiting.
    Returns or raises within about `seconds` for each of three steps: resolving, connecting, SSH's handshake.
    """
    address = address_of(name, port, seconds, whom=whom)
    try:
        connection = _connected(address, port, seconds)
    except OSError as error:
        raise _silent(name, port, seconds) from error
    with connection:
        return Answer(_shaken(connection, name, port, seconds, kinds), address)


def address_of(name: str, port: int, seconds: float, *, whom: object = None) -> str:
    """Return the first of the host's addresses; NotAskedError if there is none, or if one is not for tenants."""
    found = _resolved(name, port, seconds, whom)
    if not found:
        raise NotAskedError(
            f"{name} is not known to this server's name service: correct the name, or use the address."
        )
    for address in found:
        if not reach.may_reach(address, settings.N2W_SSH_NETWORKS, own_addresses.is_own):
            raise NotAskedError(
                f"{name} is an address that scripts must not need (this server itself, a link-local or a "
                "metadata address), so it was not asked: use another address. See N2W_SSH_NETWORKS."
            )
    return found[0]


def _resolved(name: str, port: int, seconds: float, whom: object) -> list[str]:
    # An address needs no name service, and must not wait while somebody else's names hang there.
    with suppress(OSError, UnicodeError):
        rows = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return [str(row[4][0]) for row in rows]
    found: list[str] = []

    def look() -> None:
        try:
            with suppress(OSError, UnicodeError):
                rows = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
                found.extend(str(row[4][0]) for row in rows)
        finally:
            _RESOLVERS.give_back(whom)

    if not _RESOLVERS.take(whom, seconds):
        raise NotAskedError(
            f"{name} was not asked, because this server's name service has not answered for other names yet: use "
            "addresses in place of names, or try again in a minute."
        )
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(seconds)
    return list(found)


def _connected(address: str, port: int, seconds: float) -> socket.socket:
    """Connect to the judged address itself, not to the name once more."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.settimeout(seconds)
    try:
        connection.connect((address, port))
    except OSError:
        connection.close()
        raise
    return connection


def _shaken(
    connection: socket.socket, name: str, port: int, seconds: float, kinds: Sequence[str]
) -> PublicKey:
    # It takes a tenth of a second and ten megabytes, which most processes can spare.
    from paramiko import SSHException, Transport  # noqa: PLC0415
    from paramiko.ssh_exception import IncompatiblePeer  # noqa: PLC0415

    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # it logs what strangers send
    transport: Transport | None = None
    try:
        transport = Transport(connection)
        _bound(transport, seconds, kinds)
        transport.start_client(timeout=seconds)
        key = transport.get_remote_server_key()
        return ssh.public_key(f"{key.get_name()} {key.get_base64()}")
    except IncompatiblePeer as error:
        raise OtherKindError(
            f"{name} on port {port} speaks SSH and has no host key of the kind {', '.join(kinds)}."
        ) from error
    except (SSHException, EOFError, OSError, ssh.NotAKeyError) as error:
        raise _silent(name, port, seconds) from error
    finally:
        with suppress(OSError):  # else closing waits for the other side
            connection.shutdown(socket.SHUT_RDWR)
        if transport is not None:
            transport.close()


def _bound(transport: "Transport", seconds: float, kinds: Sequence[str]) -> None:
    transport.daemon = True
    transport.banner_timeout = transport.handshake_timeout = seconds
    wanted = [each for kind in kinds for each in (_RSA if kind == "ssh-rsa" else (kind,))]
    transport.get_security_options().key_types = wanted


def _silent(name: str, port: int, seconds: float) -> NotAskedError:
    return NotAskedError(
        f"{name} on port {port} did not answer as an SSH server within {seconds:g} s: check the host, its "
        "port, and what lies between."
    )
