"""The connections to the pages: each request is read whole, within its budget, before a thread sees it.

These are waitress's own classes with budgets. One loop reads and writes all connections; threads only work on
complete requests. The loop itself answers what needs no thread: `/health/live`, and requests that are refused.
Nothing is ever put into a temporary file, because its disk may be frozen.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.receiver import ChunkedReceiver
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask
from waitress.utilities import BadRequest

from n2wbackup import health
from n2wbackup.processes import budgets
from n2wbackup.processes.budgets import Step

__all__ = ["Server"]

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_IN_MEMORY = 1 << 62  # what waitress calls the size from which a buffer becomes a temporary file
_ACCEPTED_AT_ONCE = 64
_COUNTED_BYTES = 262_144
_LOOK_SECONDS = 1.0
# How much the loop throws away of what a refused client still sends.
_THROWN_AWAY_BYTES = 64 * budgets.BODY_BYTES


class _Parser(HTTPRequestParser):  # type: ignore[misc] # waitress has no annotations
    """One request, with a limit for the lines of a chunked body too."""

    completed: bool

    def received(self, data: bytes) -> int:
        taken: int = super().received(data)
        body = self.body_rcv
        if isinstance(body, ChunkedReceiver) and not self.completed:
            line = len(body.control_line) + len(body.trailer)
            if line > budgets.CHUNK_LINE_BYTES:
                self.error, self.completed = BadRequest("a line between chunks is too long"), True
        if self.error:
            # Otherwise waitress would ask a client for the body of a request that is refused already.
            self.expect_continue = False
        return taken


class _Refusal(ErrorTask):  # type: ignore[misc] # as above
    """The answer to a request that no thread will see."""

    def execute(self) -> None:
        error = self.request.error
        body = self.channel.server.refusals.get(error.code) or error.reason.encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers += [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Security-Policy", "default-src 'none'; style-src 'self'"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        self.set_close_on_finish()
        self.channel.refused = True
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):  # type: ignore[misc] # as above
    """One connection, and how long it has been doing what it does."""

    parser_class = _Parser
    error_task_class = _Refusal

    def __init__(self, server: "Server", *rest: Any, kept: bool = False, **named: Any) -> None:  # noqa: ANN401 - passed on
        """A kept connection is not closed in favour of another one."""
        self.kept = kept
        self.refused = False
        self.since, self.moved, self._served = time.monotonic(), 0, 0
        self._doing = (Step.READING, 0)
        self._leaving = False
        super().__init__(server, *rest, **named)

    def step(self) -> Step:
        if self._leaving:
            return Step.LEAVING
        if self.total_outbufs_len:
            return Step.ANSWERING
        if self.requests:
            return Step.WORKING
        return Step.READING if self.request is not None or not self._served else Step.IDLE

    def is_overdue(self, now: float) -> bool:
        """Tell whether the step has used up its time. To be asked often: a new step begins at its first question."""
        doing = (self.step(), self._served)
        if doing != self._doing:
            self._doing, self.since, self.moved = doing, now, 0
        limit = budgets.seconds(doing[0], self.moved)
        return limit is not None and now - self.since > limit

    def body_bytes(self) -> int:
        request = self.request
        return sum(one.body_bytes_received for one in (request, *self.requests) if one is not None)

    def readable(self) -> bool:
        return self._leaving or bool(super().readable())

    def handle_read(self) -> None:
        if self._leaving:
            self._throw_away()
            return
        before = self.body_bytes()
        super().handle_read()
        if self.body_bytes() // _COUNTED_BYTES > before // _COUNTED_BYTES:
            self.server.count_bodies()
        self.server.answer_apart()

    def handle_write(self) -> None:
        if self.refused and not self._leaving:
            self._flush_exception(self._flush_some)
            if not self.total_outbufs_len and not self.will_close:
                self._leave()
                return
        super().handle_write()

    def recv(self, size: int) -> bytes:
        data: bytes = super().recv(size)
        self.moved += len(data)
        return data

    def send(self, data: bytes, do_close: bool = True) -> int:  # noqa: FBT001, FBT002 - waitress's signature
        sent: int = super().send(data, do_close=do_close)
        self.moved += sent
        return sent

    def service(self) -> None:
        super().service()
        self._served += 1
        self.server.note_progress()

    def _leave(self) -> None:
        # A close while the client still sends would be a reset, and the client would not see our answer.
        self._leaving, self.close_when_flushed = True, False
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.handle_close()

    def _throw_away(self) -> None:
        try:
            data = self.recv(_COUNTED_BYTES)
        except OSError:
            data = b""
        if not data or self.moved > _THROWN_AWAY_BYTES:
            self.handle_close()


class Server(TcpWSGIServer):  # type: ignore[misc] # as above
    """The loop of all connections, on a socket that is bound already."""

    channel_class = _Channel
    next_channel_cleanup: float

    def __init__(
        self, application: Application, bound: socket.socket, refusals: Mapping[int, bytes]
    ) -> None:
        """`refusals`: the page for each status that the loop itself answers. Call it in the thread of the loop."""
        self.refusals = refusals
        self._moving_at = time.monotonic()
        self._loop = threading.get_ident()
        self._apart: list[_Channel] = []
        self._count = False
        address = (bound.family, bound.type, bound.proto, bound.getsockname())
        super().__init__(
            application, _sock=bound, bind_socket=False, sockinfo=address, adj=_adjustments()
        )

    def turn(self, seconds: float) -> None:
        """Do what there is to do; wait for it for at most `seconds`."""
        self.maintenance(time.monotonic())
        self.asyncore.loop(timeout=seconds, use_poll=True, map=self._map, count=1)

    def take(self, end: socket.socket) -> None:
        """Serve one end of a connection within this process. It is never closed in favour of another."""
        self.channel_class(self, end, ("127.0.0.1", 0), self.adj, map=self._map, kept=True)

    def is_stuck(self) -> bool:
        """Tell whether requests have been waiting for long, and no thread has finished one."""
        return time.monotonic() - self._moving_at > budgets.STUCK_SECONDS

    def note_progress(self) -> None:
        """Note that a request was finished; what the loop itself answers says nothing of the threads."""
        if threading.get_ident() != self._loop:
            self._moving_at = time.monotonic()

    def busy(self) -> bool:
        """Tell whether a request is being worked on or answered."""
        steps = {channel.step() for channel in self.active_channels.values()}
        return bool(steps & {Step.WORKING, Step.ANSWERING})

    def stop_accepting(self) -> None:
        """Close the socket of new connections, and every connection that only waits."""
        self.del_channel()
        self.socket.close()
        self.accepting = False
        for channel in list(self.active_channels.values()):
            if channel.step() in {Step.IDLE, Step.READING, Step.LEAVING}:
                channel.handle_close()

    def add_task(self, channel: Any) -> None:  # noqa: ANN401 - waitress's signature
        # waitress holds the lock of the channel's requests here, so the loop answers a moment later.
        if threading.get_ident() == self._loop and _needs_no_thread(channel.requests[0]):
            self._apart.append(channel)
        else:
            super().add_task(channel)

    def answer_apart(self) -> None:
        """Answer what needs no thread."""
        waiting, self._apart = self._apart, []
        for channel in waiting:
            channel.service()

    def readable(self) -> bool:
        return bool(self.accepting)

    def handle_accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                accepted = self.accept()
                if accepted is None:
                    return
                connection, address = accepted
                self.set_socket_options(connection)
            except OSError:  # the client is gone already
                continue
            self.channel_class(self, connection, address, self.adj, map=self._map)

    def count_bodies(self) -> None:
        """Count the bodies of all connections before the next turn."""
        self._count = True

    def maintenance(self, now: float) -> None:
        """Close what is overdue and what is too much.

        Only between two turns: in a turn, an event of a closed connection would reach the next one with its number.
        """
        if not self.task_dispatcher.queue:
            self._moving_at = now
        if now >= self.next_channel_cleanup:
            self.next_channel_cleanup, self._count = now + _LOOK_SECONDS, True
            for channel in list(self.active_channels.values()):
                if channel.is_overdue(now):
                    channel.handle_close()
        if self._count:
            self._bound_bodies()
        if len(self.active_channels) > budgets.CONNECTIONS:
            self._make_room()

    def _bound_bodies(self) -> None:
        self._count = False
        sizes = {each: each.body_bytes() for each in self.active_channels.values()}
        total = sum(sizes.values())
        for channel in sorted(sizes, key=lambda each: sizes[each], reverse=True):
            if total <= budgets.BODIES_BYTES:
                return
            if not channel.requests:
                total -= sizes[channel]
                channel.handle_close()

    def _make_room(self) -> None:
        """Close the connections that have kept us waiting for the longest time."""
        free = (c for c in self.active_channels.values() if not c.kept and c.step() != Step.WORKING)
        waiting = sorted(free, key=lambda channel: channel.since)
        for channel in waiting[: len(self.active_channels) - budgets.CONNECTIONS]:
            channel.handle_close()


def _needs_no_thread(request: Any) -> bool:  # noqa: ANN401 - waitress has no annotations
    return bool(request.error) or request.path == health.LIVE_PATH


def _adjustments() -> Adjustments:
    return Adjustments(
        threads=budgets.THREADS,
        ident=None,
        backlog=1024,
        recv_bytes=65_536,
        max_request_header_size=budgets.HEADER_BYTES,
        max_request_body_size=budgets.BODY_BYTES,
        inbuf_overflow=_IN_MEMORY,
        outbuf_overflow=_IN_MEMORY,
        # n2wbackup.proxies decides which of them are believed.
        clear_untrusted_proxy_headers=False,
        log_socket_errors=False,
    )
