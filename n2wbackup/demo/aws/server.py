"""The process that simulates AWS: one HTTP server on loopback, which ends with its parent.

moto's werkzeug server closes every connection after one answer. Clients of AWS keep theirs open, and a
benchmark would measure the handshakes. So this is Python's own server, with one thread per connection,
which passes on to moto the calls that moto has to answer.
"""

import gc
import json
import os
import secrets
import signal
import socketserver
import sys
import threading
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

from n2wbackup.demo.aws import control
from n2wbackup.demo.aws.answers import Answer
from n2wbackup.demo.aws.apicall import HttpRequest
from n2wbackup.demo.aws.credentials import Account
from n2wbackup.demo.aws.gateway import Gateway
from n2wbackup.demo.aws.simulator import Simulator

HOST = "127.0.0.1"
FIRST_REGION = "us-east-1"
SWITCH_SECONDS = 0.0005  # a thread that lists snapshots must not delay CreateSnapshots
Respond = Callable[[HttpRequest], Answer | None]


class _Handler(BaseHTTPRequestHandler):
    """One connection, open between requests; without Nagle's delay, each answer in one packet."""

    protocol_version = "HTTP/1.1"
    server_version = "SimulatedAws"
    disable_nagle_algorithm = True
    wbufsize = -1  # the flush writes the whole answer at once
    respond: ClassVar[Respond]

    def do_POST(self) -> None:
        """Answer a request, or close the connection without an answer."""
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        request = HttpRequest(self.command, path, query, headers, body)
        answer = type(self).respond(request)
        if answer is None:
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()

    def do_GET(self) -> None:
        """Answer like a POST."""
        self.do_POST()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Log nothing: the journal has all requests."""


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Log every error, except for clients that went away."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            traceback.print_exc()


def _owner() -> Account:
    """Return a key that looks like AWS's."""
    return Account(f"AKIA{secrets.token_hex(8).upper()}", secrets.token_urlsafe(30), ("*",))


def _end_with_parent(descriptor: int, end: Callable[[], None]) -> None:
    """End when the parent closes its end of the pipe; its death closes it too.

    prctl's parent death signal would not work: it comes when the *thread* that started us ends.
    """

    def wait() -> None:
        os.read(descriptor, 1)
        end()

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _announce(state: Path, port: int, token: str, owner: Account, ready_fd: int | None) -> None:
    """Write the address and the keys to the parent, and to a file in the state folder."""
    text = json.dumps(
        {
            "endpoint_url": f"http://{HOST}:{port}",
            "token": token,
            "access_key_id": owner.access_key_id,
            "secret_access_key": owner.secret_access_key,
        }
    )
    door = state / "simulator.json"
    door.unlink(missing_ok=True)
    with os.fdopen(os.open(door, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    if ready_fd is None:
        sys.stdout.write(f"The simulated AWS listens on http://{HOST}:{port}; keys: {door}\n")
        sys.stdout.flush()
        return
    with os.fdopen(ready_fd, "w") as stream:
        stream.write(text)


def run(port: int, state: Path, ready_fd: int | None, parent_fd: int | None) -> None:
    """Serve until the parent ends or a signal comes; port 0 means any free port."""
    sys.setswitchinterval(SWITCH_SECONDS)
    # Nobody here uses moto's images, which take as long to load as the rest of a region.
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    state.mkdir(parents=True, exist_ok=True)
    token, owner = secrets.token_urlsafe(24), _owner()
    simulator = Simulator(state, owner)
    gateway = Gateway(simulator)
    simulator.inventory.backend(FIRST_REGION)

    def respond(http: HttpRequest) -> Answer | None:
        if http.path.startswith(control.PREFIX):
            return control.answer(simulator, token, http)
        return gateway.answer(http)

    def end(*_: object) -> None:
        simulator.commands.clear()
        os._exit(0)  # threads may hang in a fault

    _Handler.respond = staticmethod(respond)
    with _Server((HOST, port), _Handler) as server:
        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        if parent_fd is not None:
            _end_with_parent(parent_fd, end)
        gc.collect()
        gc.freeze()  # moto's tables are many objects: no garbage collection may visit them within a window
        _announce(state, int(server.server_address[1]), token, owner, ready_fd)
        server.serve_forever(poll_interval=60)
