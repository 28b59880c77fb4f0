"""One SSH handshake and login, within a bound: the connection, the host's key, our key.

Each of paramiko's waits that has no end of its own is ended by `Line.ends_in`, which cuts the line.
"""

import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import StringIO

from n2wbackup.lib import unasked
from scripts_admin.domain import ssh
from scripts_admin.domain.ssh import NotAKeyError, PublicKey
from scripts_admin.runners import refusals
from scripts_admin.runners.addresses import Address, Key
from scripts_admin.runners.refusals import HostKeyError, RefusedError, Why

with unasked.left_out("invoke"):  # paramiko would run commands of configuration files with it
    from paramiko import (
        AuthenticationException,
        BadAuthenticationType,
        Channel,
        ECDSAKey,
        Ed25519Key,
        PKey,
        RSAKey,
        SSHException,
        Transport,
    )
    from paramiko.ssh_exception import IncompatiblePeer

USER_TIMEOUT_MS = 5000  # what we sent and nobody acknowledged for so long ends the connection
CONNECT_SECONDS = 5.0  # enough for two more tries of the kernel
_BUSY_PAUSES = (0.3, 1.0, 2.0)  # sshd turns some logins away when many come at once
# paramiko looks up from a silent socket ten times a second otherwise: ten times the processor time of idle sessions.
_IDLE_SECONDS = 2.0
_REKEY_SECONDS = 2.0  # a word waits for a new key no longer than this
_RSA = ("rsa-sha2-512", "rsa-sha2-256")
BROKEN = (SSHException, EOFError, OSError)  # what paramiko raises

logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # it logs what strangers send


class Line:
    """What a transport runs over: a TCP connection, or a channel of a bastion."""

    def __init__(self, connection: "socket.socket | Channel") -> None:
        """Take what is connected already."""
        self.connection = connection
        self._was_late = False

    @contextmanager
    def ends_in(self, seconds: float, where: str) -> Iterator[None]:
        """Cut the line if the block has not ended by then: whoever waits inside gets an error, and then a refusal."""
        timer = threading.Timer(max(0.0, seconds), self._cut_late)
        timer.daemon = True
        timer.start()
        try:
            yield
        except HostKeyError:
            raise
        except (RefusedError, *BROKEN) as error:
            if self._was_late:
                raise refusals.silent(where, seconds) from error
            raise
        finally:
            timer.cancel()

    def _cut_late(self) -> None:
        self._was_late = True
        self.cut()

    def cut(self) -> None:
        """End it: the kernel tells the far side at once, and nothing is waited for.

        paramiko's own close lets the far side wait for its thread: 60 ms instead of 8 as a median.
        """
        with suppress(*BROKEN):
            self.connection.shutdown(socket.SHUT_RDWR)
        with suppress(*BROKEN):
            if isinstance(self.connection, Channel):
                self.connection.close()

    def drop(self) -> None:
        """End it and free its descriptor."""
        self.cut()
        with suppress(*BROKEN):
            self.connection.close()


def connect(address: Address, until: float) -> Line:
    """Connect to the address that was judged; RefusedError if it cannot be reached by then."""
    at = address.at or address.host
    seconds = min(CONNECT_SECONDS, until - time.monotonic())
    if seconds <= 0:
        raise refusals.silent(str(address), 0.0)
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(at).version == 6 else socket.AF_INET  # noqa: PLR2004
    except ValueError:
        raise RefusedError(
            Why.NO_ADDRESS, f"{address} has no known address: enter its IP address as host."
        ) from None
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        # paramiko does not: a command that follows another's end then takes 50 to 60 ms instead of 8.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        connection.settimeout(seconds)
        connection.connect((at, address.port))
    except OSError as error:
        connection.close()
        raise refusals.of_connection(error, str(address), seconds) from error
    return Line(connection)


def login(
    address: Address, key: Key, until: float, line: Callable[[], Line]
) -> tuple[Transport, Line]:
    """Return an authenticated transport on a new line; RefusedError if there is none by then.

    A host that turns logins away because many come at once is asked again.
    """
    for pause in (*_BUSY_PAUSES, None):
        made = line()
        try:
            with made.ends_in(until - time.monotonic(), str(address)):
                return _authenticated(made, address, key), made
        except RefusedError as error:
            made.drop()
            if error.why != Why.BUSY or pause is None or time.monotonic() + pause >= until:
                raise
            time.sleep(pause)
        except BaseException:
            made.drop()
            raise
    raise AssertionError("the last pause is None")


def _authenticated(line: Line, address: Address, key: Key) -> Transport:
    transport = Transport(line.connection)
    try:
        transport.daemon = True
        # The line's own bound ends what waits; these must not end it before.
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = 3600
        transport.clear_to_send_timeout = _REKEY_SECONDS
        _shake(transport, address)
        _log_in(transport, address, key)
        line.connection.settimeout(_IDLE_SECONDS)
    except BaseException:
        line.cut()  # else closing waits for the other side
        transport.close()
        raise
    return transport


def _shake(transport: Transport, address: Address) -> None:
    """Agree on keys; HostKeyError if the host's is not an approved one."""
    pinned = [ssh.public_key(each) for each in address.host_keys]
    wanted = tuple(dict.fromkeys(each.kind for each in pinned)) or ssh.KINDS
    options = transport.get_security_options()
    options.key_types = [
        each for kind in wanted for each in (_RSA if kind == "ssh-rsa" else (kind,))
    ]
    try:
        transport.start_client()
        shown = transport.get_remote_server_key()
    except IncompatiblePeer as error:
        if pinned and "host key" in str(error):
            raise _other_kind(address, pinned) from error
        raise refusals.no_common(str(address), str(error)) from error
    except BROKEN as error:
        raise refusals.of_handshake(str(error), str(address)) from error
    try:
        key = ssh.public_key(f"{shown.get_name()} {shown.get_base64()}")
    except NotAKeyError as error:
        raise refusals.no_common(str(address), str(error)) from error
    if key not in pinned:
        raise _not_pinned(address, pinned, key)


def _other_kind(address: Address, pinned: list[PublicKey]) -> HostKeyError:
    return refusals.host_changed(address.host, address.port, str(address), pinned, None)


def _not_pinned(address: Address, pinned: list[PublicKey], key: PublicKey) -> HostKeyError:
    if pinned:
        return refusals.host_changed(address.host, address.port, str(address), pinned, key)
    return refusals.host_unknown(address.host, address.port, str(address), key)


def _log_in(transport: Transport, address: Address, key: Key) -> None:
    where, user = str(address), address.user
    tried: list[str] = []
    for private in key.privates:
        loaded = _loaded(private)
        try:
            more = transport.auth_publickey(user, loaded)
        except BadAuthenticationType as error:
            raise refusals.wants_more(user, where, error.allowed_types) from error
        except AuthenticationException as error:
            if not transport.is_active():
                raise refusals.key_not_accepted(
                    user, where, tried, is_connect=key.is_connect
                ) from error
            tried.append(f"SHA256:{loaded.fingerprint.removeprefix('SHA256:')}")
            continue
        except BROKEN as error:
            raise refusals.of_handshake(str(error), where) from error
        if more:
            raise refusals.wants_more(user, where, more)
        return
    raise refusals.key_not_accepted(user, where, tried, is_connect=key.is_connect)


def _loaded(private: str) -> PKey:
    for kind in (Ed25519Key, ECDSAKey, RSAKey):
        with suppress(SSHException, ValueError):
            return kind.from_private_key(StringIO(private))
    raise RefusedError(Why.KEY, "A stored key cannot be read: make a new one on the page Keys.")
