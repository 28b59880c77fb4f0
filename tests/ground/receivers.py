"""Receivers of alarms on loopback: a web server that records its requests, and a mail server. Both can refuse."""

import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Webhook:
    """The requests that a web server on loopback got, and how it answers."""

    port: int = 0
    status: int = 200
    hangs: threading.Event | None = None  # it answers once this is set
    tls: ssl.SSLContext | None = None
    requests: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    @property
    def json_url(self) -> str:
        return f"json{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    @property
    def titles(self) -> list[str]:
        return [body["title"] for _, _, body in self.requests if "title" in body]

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _ in self.requests]


@contextmanager
def webhook(**answers: Any) -> Iterator[Webhook]:
    """Run a web server that records every request."""
    hook = Webhook(**answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._note(self.rfile.read(int(self.headers["Content-Length"] or 0)))

        def do_GET(self) -> None:
            self._note(b"")

        def _note(self, body: bytes) -> None:
            hook.requests.append((self.command, self.path, json.loads(body or b"{}")))
            hook.headers.append(dict(self.headers))
            if hook.hangs is not None:
                hook.hangs.wait(60)
            self.send_response(hook.status)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass  # the client that waited is gone

    with Server(("127.0.0.1", 0), Handler) as server:
        hook.port = server.server_address[1]
        if hook.tls is not None:
            server.socket = hook.tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hook
        finally:
            if hook.hangs is not None:
                hook.hangs.set()
            server.shutdown()
            thread.join()


@dataclass
class Mailbox:
    """The mails that a mail server on loopback accepted."""

    port: int = 0
    refuses: bool = False
    tls: ssl.SSLContext | None = None  # from the first byte on
    mails: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        kind, mode = ("mailtos", "ssl") if self.tls else ("mailto", "insecure")
        return (
            f"{kind}://127.0.0.1:{self.port}?from=server@example.org&to=ops@example.org&mode={mode}"
        )


@contextmanager
def mailbox(*, refuses: bool = False, tls: ssl.SSLContext | None = None) -> Iterator[Mailbox]:
    """Run a mail server with as much of SMTP as is needed to accept a mail."""
    box = Mailbox(refuses=refuses, tls=tls)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 ready")
            while line := self.rfile.readline():
                word = line[:4].upper().strip()
                if word == b"DATA":
                    self._say("354 go on")
                    lines = list(iter(self.rfile.readline, b".\r\n"))
                    box.mails.append(b"".join(lines).decode())
                    self._say("250 taken")
                elif word == b"RCPT" and box.refuses:
                    self._say("550 no such mailbox")
                elif word == b"QUIT":
                    self._say("221 bye")
                    return
                else:
                    self._say("250 fine")

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        box.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield box
        finally:
            server.shutdown()
            thread.join()
