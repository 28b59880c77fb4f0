"""SSH sessions to instances: opened and proven within a bound, and closed at once.

No Django in here: the carrier has this loaded before it is forked. A session is proven when the host has signed with
its approved key and has accepted ours.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from n2wbackup.lib import unasked
from scripts_admin.runners import handshake, refusals
from scripts_admin.runners.addresses import Address, Key
from scripts_admin.runners.handshake import BROKEN, Line
from scripts_admin.runners.refusals import HostKeyError, RefusedError, Why

with unasked.left_out("invoke"):  # as in handshake
    from paramiko import Channel, ChannelException, Transport

__all__ = [
    "Address",
    "HostKeyError",
    "Key",
    "Opener",
    "RefusedError",
    "Session",
    "Why",
    "Wire",
    "open_session",
]

AT_ONCE = 16  # handshakes
FORWARD_SECONDS = 10.0  # a bastion waits longer for a dead instance
_NEVER_FIRST = 60.0  # seconds
SPARED_SECONDS = 30.0  # a bastion that was just tried in vain delays nobody else
START_SECONDS = 10.0
_PIECE_BYTES = 64 * 1024
_PIECES_AT_ONCE = 16  # one that prints faster than we read must leave a turn to the others


def _some(is_there: Callable[[], bool], take: Callable[[int], bytes]) -> bytes:
    pieces: list[bytes] = []
    while len(pieces) < _PIECES_AT_ONCE and is_there():
        pieces.append(take(_PIECE_BYTES))
    return b"".join(pieces)


class Wire:
    """A command on the far side: `fileno` is readable when something came, or when it is over."""

    def __init__(self, channel: Channel) -> None:
        """Take the channel of a command that was started; from now on nothing waits for the far side to take it."""
        channel.settimeout(0.0)
        self._channel = channel
        self._fileno = channel.fileno()

    def fileno(self) -> int:
        return self._fileno

    def read(self) -> bytes:
        """Return what has come on standard output, without waiting; a bounded part, and nothing if nothing has."""
        return _some(self._channel.recv_ready, self._channel.recv)

    def read_errors(self) -> bytes:
        """Return what has come on standard error, without waiting. Read it, or the far side blocks some day."""
        return _some(self._channel.recv_stderr_ready, self._channel.recv_stderr)

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more will come; what came before may still have to be read."""
        return self._channel.closed or bool(self._channel.eof_received)

    @property
    def exit_status(self) -> int | None:
        """The command's exit status; None while it runs, and if it was killed or the connection was lost."""
        if not self._channel.exit_status_ready() or self._channel.exit_status < 0:
            return None
        return self._channel.exit_status

    def send(self, data: bytes) -> bool:
        """Send a word; tell whether the connection took it. A far side that takes nothing any more is a lost one."""
        try:
            self._channel.sendall(data)
        except BROKEN:
            return False
        return self._channel.get_transport().is_active()  # else paramiko has dropped it in silence

    def end(self) -> None:
        """End the command's standard input; what it prints still comes."""
        with suppress(*BROKEN):
            self._channel.shutdown_write()

    def close(self) -> None:
        """End the command's standard input and output; the session stays open."""
        with suppress(*BROKEN):
            self._channel.close()


class Session:
    """An open and proven connection to one instance; commands are started on it."""

    def __init__(self, address: Address, transport: Transport, line: Line) -> None:
        """Take an authenticated transport, and what it runs over."""
        self.address = address
        self.on_close: Callable[[], None] | None = None
        self._transport = transport
        self._line = line

    @property
    def is_open(self) -> bool:
        return self._transport.is_active()

    def start(self, command: str, program: bytes = b"", seconds: float = START_SECONDS) -> Wire:
        """Start a command and send it its program; RefusedError if the host starts none, or not in time.

        A host that is not in time has lost the session as well.
        """
        of = self.address
        try:
            with self._line.ends_in(seconds, str(of)):
                # The line's end is the only clock: with two, it hung on chance what a silent host was called.
                channel = self._transport.open_session(timeout=seconds + _NEVER_FIRST)
                channel.exec_command(command)
                self._give(channel, program)
                return Wire(channel)
        except BROKEN as error:
            if not self.is_open:
                raise refusals.lost(str(of)) from error
            raise refusals.no_session(str(of), of.user, str(error)) from error

    def channel(self, command: str = "", seconds: float = START_SECONDS) -> Channel:
        """Return a channel to a command, or to the subsystem of files (SFTP); raises what paramiko does."""
        with self._line.ends_in(seconds, str(self.address)):
            channel = self._transport.open_session(timeout=seconds + _NEVER_FIRST)
            if command:
                channel.exec_command(command)
            else:
                channel.invoke_subsystem("sftp")
            return channel

    def _give(self, channel: Channel, program: bytes) -> None:
        """Send the program. A command that has ended meanwhile is no error: what it printed says why."""
        try:
            channel.sendall(program)
        except OSError:
            if not (channel.closed and self.is_open):
                raise

    def not_started(self, wire: Wire, noise: bytes = b"") -> RefusedError:
        """Return why a command did not begin as it should have; `noise` is all that was read of it so far."""
        said = (noise + wire.read() + wire.read_errors()).decode(errors="replace")
        of = self.address
        if not self.is_open and not said.strip():
            return refusals.lost(str(of))
        return refusals.of_start(of.user, str(of), wire.exit_status, said, sudo=of.sudo)

    def forward(self, host: str, port: int, where: str, seconds: float) -> Line:
        """Return a line through this host to another; RefusedError if it makes none."""
        seconds = min(max(0.1, seconds), FORWARD_SECONDS)
        try:
            return Line(
                self._transport.open_channel(
                    "direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=seconds
                )
            )
        except ChannelException as error:
            text = str(error.text)
            raise refusals.of_forwarding(error.code, text, where, str(self.address)) from error
        except BROKEN as error:
            if not self.is_open:
                raise refusals.lost(f"the bastion {self.address}") from error
            raise refusals.silent(where, seconds) from error

    def close(self) -> None:
        """End the connection: the far side sees it at once, and nothing is waited for."""
        self._line.cut()
        self._transport.close()
        if self.on_close is not None:
            self.on_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Opener:
    """Opens sessions, 16 at a time, over one connection to each bastion. Thread-safe."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        """Nothing is open yet."""
        self._turns = threading.BoundedSemaphore(at_once)
        self._lock = threading.Lock()
        self._bastions: dict[Address, _Bastion] = {}

    def open(self, address: Address, key: Key, within_seconds: float) -> Session:
        """Open a session within so many seconds from its turn on; RefusedError if it cannot be had.

        HostKeyError: the host, or its bastion, shows another key than an approved one; nothing was sent to it.
        """
        with self._turns:
            until = time.monotonic() + within_seconds
            if address.bastion is None:
                return _opened(address, key, until, lambda: handshake.connect(address, until))
            with self._lock:
                bastion = self._bastions.setdefault(address.bastion, _Bastion(address.bastion))
            return _opened(address, key, until, lambda: bastion.line(address, key, until))

    def close(self) -> None:
        """Close the connections to bastions, and so all sessions that run over them."""
        with self._lock:
            bastions, self._bastions = self._bastions, {}
        for each in bastions.values():
            each.close()


def open_session(address: Address, key: Key, within_seconds: float) -> Session:
    """Open one session; a connection to its bastion ends with it. As `Opener.open`, which shares bastions."""
    opener = Opener(1)
    try:
        session = opener.open(address, key, within_seconds)
    except BaseException:
        opener.close()
        raise
    session.on_close = opener.close
    return session


def _opened(address: Address, key: Key, until: float, line: Callable[[], Line]) -> Session:
    return Session(address, *handshake.login(address, key, until, line))


class _Bastion:
    """One connection to a bastion, opened by the first session that needs it, and anew if it was lost."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._spared_until = 0.0
        self._refused: RefusedError | None = None

    def line(self, address: Address, key: Key, until: float) -> Line:
        """Return a line to an instance; RefusedError if it cannot be had.

        The connection may turn out to be lost: then it is opened anew, once.
        """
        at, where = address.at or address.host, str(address)
        for is_last in (False, True):
            way = self._session_by(key.for_bastion or key, until)
            try:
                return way.forward(at, address.port, where, until - time.monotonic())
            except RefusedError as error:
                if is_last or error.why != Why.LOST:
                    raise
        raise AssertionError("the last one returns or raises")

    def _session_by(self, key: Key, until: float) -> Session:
        """Return the connection; the others wait while one opens it. RefusedError if it cannot be had."""
        of = self._address
        seconds = max(0.0, until - time.monotonic())
        if not self._lock.acquire(timeout=seconds):
            raise refusals.silent(f"The bastion {of}", seconds)
        try:
            if self._session is not None and self._session.is_open:
                return self._session
            if self._refused is not None and time.monotonic() < self._spared_until:
                raise self._refused
            self._session = _opened(of, key, until, lambda: handshake.connect(of, until))
            return self._session
        except RefusedError as error:
            if self._refused is not error:
                self._refused = error
                self._spared_until = time.monotonic() + SPARED_SECONDS
            raise
        finally:
            self._lock.release()

    def close(self) -> None:
        """End it without waiting for whoever opens it anew: there is nobody, once all sessions are closed."""
        session, self._session = self._session, None
        if session is not None:
            session.close()
