"""The process of the pages: `python -m n2wbackup.processes.web`.

One loop reads requests and writes answers, a few threads work on them. It asks itself for `/health/live` through a
connection of its own, and reports each good answer to its supervisor: `serve`, or systemd. A supervisor that hears
nothing for a minute starts the process again.
"""

import http.client
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping

from django.conf import settings
from django.template.loader import render_to_string

from n2wbackup import health
from n2wbackup.lib import garbage
from n2wbackup.processes import budgets, notify, titles
from n2wbackup.processes.connections import Server
from n2wbackup.wsgi import application

DRAIN_SECONDS = 20.0
ASK_SECONDS = 5.0
_TURN_SECONDS = 1.0
_REFUSALS = (400, 413, 431, 500, 501)
_OTHER_FILES = 200  # descriptors that are no connections


def main() -> None:
    """Serve until SIGTERM or SIGINT; then finish what was asked for already, for 20 seconds at most."""
    titles.show("web")
    garbage.leave_modules()
    _allow_files(budgets.CONNECTIONS + _OTHER_FILES)
    with _listening() as bound:
        server = Server(application, bound, _refusals())
        server.application = health.apart(application, server.is_stuck)
        asked_to_stop = threading.Event()

        def stop(_number: int, _frame: object) -> None:
            asked_to_stop.set()
            server.pull_trigger()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        if notify.is_wanted():
            _start_pulse(server)
        notify.send(notify.READY)
        while not asked_to_stop.is_set():
            server.turn(_TURN_SECONDS)
        _drain(server)


def _listening() -> socket.socket:
    # This machine only: to reach it over the network, put a proxy with TLS in front.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", settings.N2W_PORT))
    except OSError as error:
        bound.close()
        sys.exit(
            f"Port {settings.N2W_PORT} cannot be used ({error.strerror}): "
            "stop the program that listens there, or set N2W_PORT."
        )
    return bound


def _allow_files(number: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(number, hard), hard))


def _refusals() -> Mapping[int, bytes]:
    """Make the pages of refused requests now: later, their disk may be frozen."""
    return {code: render_to_string(f"{code}.html").encode() for code in _REFUSALS}


def _start_pulse(server: Server) -> None:
    ours, theirs = socket.socketpair()
    server.take(theirs)
    threading.Thread(target=_pulse, args=(ours,), name="pulse", daemon=True).start()


def _pulse(end: socket.socket) -> None:
    """Ask for `/health/live` again and again, and report each good answer.

    There is no time limit here: while an answer is missing nothing is reported, and the supervisor counts.
    """
    question = f"GET {health.LIVE_PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    while True:
        end.sendall(question)
        answer = http.client.HTTPResponse(end)
        answer.begin()
        answer.read()
        if answer.status == http.client.OK:
            notify.send(notify.ALIVE)
        time.sleep(ASK_SECONDS)


def _drain(server: Server) -> None:
    until = time.monotonic() + DRAIN_SECONDS
    server.stop_accepting()
    while server.busy() and time.monotonic() < until:
        server.turn(_TURN_SECONDS / 10)


if __name__ == "__main__":
    main()
    os._exit(0)  # threads that still work must not keep us
