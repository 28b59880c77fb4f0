"""The loop of the connections, with an application of the test: what it answers while all threads work."""

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from n2wbackup import health
from n2wbackup.processes import budgets
from n2wbackup.processes.budgets import Step
from n2wbackup.processes.connections import Server
from tests.ground import processes
from tests.ground.leeway import LEEWAY


@dataclass
class Hanging:
    """Pages that come only when they may."""

    may_end: threading.Event = field(default_factory=threading.Event)
    working: list[str] = field(default_factory=list)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        self.working.append(environ["PATH_INFO"])
        self.may_end.wait()
        start_response("200 OK", [("Content-Length", "4")])
        return [b"page"]


@dataclass
class Loop:
    pages: Hanging
    server: Server
    port: int

    def get(self, path: str) -> tuple[int, bytes]:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LEEWAY)
        with contextlib.closing(client):
            client.request("GET", path)
            answer = client.getresponse()
            return answer.status, answer.read()

    def ask(self) -> socket.socket:
        """Ask for a page, and do not wait for it."""
        end = socket.create_connection(("127.0.0.1", self.port), timeout=LEEWAY)
        end.sendall(b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return end


@pytest.fixture
def loop() -> Iterator[Loop]:
    pages, ended, made = Hanging(), threading.Event(), []
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    port: int = bound.getsockname()[1]
    ready = threading.Event()

    def run() -> None:
        server = Server(pages, bound, {413: b"too large"})
        server.application = health.apart(pages, server.is_stuck)
        made.append(server)
        ready.set()
        while not ended.is_set():
            server.turn(0.1)
        server.stop_accepting()
        for channel in list(server.active_channels.values()):
            channel.handle_close()
        server.trigger.close()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    yield Loop(pages, made[0], port)
    pages.may_end.set()
    made[0].task_dispatcher.shutdown()
    ended.set()
    thread.join()


def occupy(loop: Loop, stack: contextlib.ExitStack) -> list[socket.socket]:
    """Let every thread work, and one request more wait."""
    asked = [stack.enter_context(loop.ask()) for _ in range(budgets.THREADS + 1)]
    processes.wait_until(
        lambda: (
            len(loop.pages.working) == budgets.THREADS and bool(loop.server.task_dispatcher.queue)
        ),
        seconds=LEEWAY,
        what="all threads work",
    )
    return asked


def test_health_is_answered_while_every_thread_works(loop: Loop) -> None:
    with contextlib.ExitStack() as stack:
        occupy(loop, stack)

        status, body = loop.get("/health/live")

    assert (status, json.loads(body)) == (200, {"status": "ok"})


def test_refusals_are_answered_while_every_thread_works(loop: Loop) -> None:
    with contextlib.ExitStack() as stack:
        occupy(loop, stack)
        end = stack.enter_context(socket.create_connection(("127.0.0.1", loop.port), LEEWAY))
        end.sendall(b"POST / HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n")

        assert b"413" in end.recv(65_536)


def test_a_web_whose_threads_finish_nothing_for_long_says_that_it_is_stuck(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "STUCK_SECONDS", 0.2)
    with contextlib.ExitStack() as stack:
        asked = occupy(loop, stack)
        processes.wait_until(
            lambda: loop.get("/health/live")[0] == 503, seconds=LEEWAY, what="it is stuck"
        )
        loop.pages.may_end.set()
        assert [end.recv(12) for end in asked] == [b"HTTP/1.1 200"] * len(asked)

    processes.wait_until(
        lambda: loop.get("/health/live")[0] == 200, seconds=LEEWAY, what="it works again"
    )


def test_health_is_answered_to_get_and_head_alone(loop: Loop) -> None:
    loop.pages.may_end.set()
    client = http.client.HTTPConnection("127.0.0.1", loop.port, timeout=LEEWAY)
    with contextlib.closing(client):
        client.request("HEAD", "/health/live")
        head = client.getresponse()
        assert (head.status, head.read()) == (200, b"")
        client.request("POST", "/health/live", body=b"a=b")
        assert client.getresponse().read() == b"page"  # the application decides


def test_requests_that_come_in_one_go_are_answered_in_order(loop: Loop) -> None:
    loop.pages.may_end.set()
    with socket.create_connection(("127.0.0.1", loop.port), LEEWAY) as end:
        page, live = b"GET /page HTTP/1.1\r\n\r\n", b"GET /health/live HTTP/1.1\r\n\r\n"
        end.sendall(
            live + page + live + page.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        )
        got = b""
        while data := end.recv(65_536):
            got += data

    parts = [part.rpartition(b"\r\n\r\n")[2] for part in got.split(b"HTTP/1.1 200 OK")[1:]]
    assert parts == [b'{"status": "ok"}', b"page", b'{"status": "ok"}', b"page"]


def test_only_work_has_no_limit_and_a_fast_client_gets_more_time() -> None:
    assert {step for step in Step if budgets.seconds(step, 0) is None} == {Step.WORKING}
    for step in (Step.READING, Step.ANSWERING):
        slow, fast = budgets.seconds(step, 0), budgets.seconds(step, budgets.BODY_BYTES)
        assert slow is not None
        assert fast is not None
        assert fast > slow + 60
