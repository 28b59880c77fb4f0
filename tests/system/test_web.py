"""The pages answer, whatever other connections do: real sockets against the real process."""

import contextlib
import resource
import signal
import socket
from collections.abc import Iterator

import pytest

from n2wbackup.processes import budgets
from n2wbackup.processes.budgets import Step
from tests.ground import processes
from tests.ground import web as ground
from tests.ground.leeway import LEEWAY
from tests.ground.web import Web, is_closed, read_all

pytestmark = pytest.mark.lasts(60)
HALF_A_HEADER = b"GET /login/ HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /login/ HTTP/1.1\r\nHost: localhost\r\n"
A_STATIC_FILE = b"/static/admin/js/vendor/xregexp/xregexp.js"
MIB = 1 << 20


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4_096, hard), hard))
    with ground.serving() as started:
        yield started
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def many(
    web: Web, number: int, sent: bytes, receive_bytes: int = 0
) -> Iterator[list[socket.socket]]:
    """Open so many connections, each with the same bytes on it."""
    with contextlib.ExitStack() as stack:
        ends = []
        for _ in range(number):
            end = stack.enter_context(web.connect(receive_bytes=receive_bytes))
            with contextlib.suppress(ConnectionError):
                end.sendall(sent)
            ends.append(end)
        yield ends


@pytest.mark.parametrize(
    ("number", "sent"),
    [
        (12, HALF_A_HEADER),
        (500, HALF_A_HEADER),
        (500, b""),
        (500, b"G"),
        (500, POST + b"Content-Length: 1000\r\n\r\nusername=a"),
        (500, POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nuser"),
        (200, b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        (budgets.CONNECTIONS + 300, HALF_A_HEADER),
    ],
    ids=["12 headers", "500 headers", "nothing", "a letter", "bodies", "chunks", "idle", "1300"],
)
def test_pages_answer_while_connections_hang(web: Web, number: int, sent: bytes) -> None:
    with many(web, number, sent):
        assert web.answers()


def test_a_connection_that_sends_nothing_more_is_closed(web: Web) -> None:
    seconds = budgets.seconds(Step.READING, 0)
    assert seconds is not None
    with many(web, 3, HALF_A_HEADER) as ends:
        processes.wait_until(
            lambda: all(is_closed(end) for end in ends),
            seconds=seconds * LEEWAY,
            what="closed connections",
        )


def test_a_drop_now_and_then_does_not_keep_a_connection(web: Web) -> None:
    end = web.connect()
    with end:
        end.sendall(HALF_A_HEADER + b"X-Slow: ")

        def is_over() -> bool:
            with contextlib.suppress(ConnectionError):
                end.send(b"a")
                return is_closed(end)
            return True

        processes.wait_until(is_over, seconds=60 * LEEWAY, what="a closed connection", pause=0.5)


def test_who_does_not_take_the_answer_holds_up_nobody(web: Web) -> None:
    question = b"GET " + A_STATIC_FILE + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with many(web, 50, question * 20, receive_bytes=1_024):
        assert web.answers()


def test_a_header_that_is_too_large_is_refused(web: Web) -> None:
    status, text = web.get("/login/", Cookie="a" * (budgets.HEADER_BYTES + 10))

    assert status == 431
    assert "The headers of the request are too large" in text
    assert "Delete the cookies of this server" in text


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(web: Web) -> None:
    with web.connect() as end:
        end.sendall(POST + b"Content-Length: 300000000\r\n\r\n")
        answer = read_all(end)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"The server takes at most 4 MiB in one request, so nothing was changed." in answer
    assert b"Content-Security-Policy: default-src 'none'" in answer


def test_a_client_that_goes_on_sending_still_gets_the_refusal(web: Web) -> None:
    with web.connect() as end:
        end.sendall(POST + b"Content-Length: 8000000\r\n\r\n")
        end.sendall(bytes(8_000_000))
        answer = read_all(end)

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_an_endless_body_in_chunks_is_refused_and_leaves_no_file(web: Web) -> None:
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    with web.connect() as end:
        end.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(300 * MIB // len(chunk)):
                end.sendall(chunk)
        answer = read_all(end)

    assert answer.startswith(b"HTTP/1.1 413 ") or not answer  # a reset may have overtaken it
    assert web.temporary_files() == []
    assert web.answers()


def test_a_chunk_line_without_an_end_is_refused(web: Web) -> None:
    with web.connect() as end:
        end.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 20_000)
        answer = read_all(end)

    assert answer.startswith(b"HTTP/1.1 400 ")


def test_a_large_file_in_a_form_leaves_no_file(web: Web) -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'
        + bytes(3 * MIB)
        + b"\r\n--x--\r\n"
    )
    head = b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n"
    with web.connect() as end:
        end.sendall(POST + b"Connection: close\r\n" + head % len(body) + body)
        answer = read_all(end)

    assert answer.startswith(b"HTTP/1.1 403 ")  # no CSRF token
    assert b"Reload the page and send the form again." in answer
    assert web.temporary_files() == []


def test_all_bodies_together_have_a_limit(web: Web) -> None:
    size = budgets.BODY_BYTES - 1_024
    number = 3 * budgets.BODIES_BYTES // size
    before = web.memory_bytes()
    sent = POST + b"Content-Length: %d\r\n\r\n" % size + bytes(size - 10)
    with many(web, number, sent) as ends:
        assert web.answers()
        most = budgets.BODIES_BYTES // (size - 10)
        processes.wait_until(
            lambda: sum(not is_closed(end) for end in ends) <= most,
            seconds=LEEWAY,
            what=f"at most {most} bodies",
        )
        grown = web.memory_bytes() - before

    assert grown < 2 * budgets.BODIES_BYTES
    assert web.temporary_files() == []


def test_a_client_that_asks_first_is_told_to_go_on(web: Web) -> None:
    head = POST + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: "
    with web.connect() as end:
        end.sendall(head + b"3\r\n\r\n")
        told = end.recv(65_536)
        end.sendall(b"a=b")
        answer = read_all(end)
    with web.connect() as end:
        end.sendall(head + b"300000000\r\n\r\n")
        refused = read_all(end)

    assert told == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert refused.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"\r\n\r\n\r\n",
    ],
    ids=["TLS", "two lengths", "a negative length", "an unknown coding", "nothing"],
)
def test_what_is_no_request_is_refused_or_ignored(web: Web, sent: bytes) -> None:
    with web.connect() as end:
        end.sendall(sent)
        end.shutdown(socket.SHUT_WR)
        answer = read_all(end)

    assert not answer or answer.split()[1] in {b"400", b"501"}
    assert web.answers()


def test_a_stop_is_not_held_up_by_connections_that_hang() -> None:
    with ground.serving() as own, many(own, 50, HALF_A_HEADER):
        own.process.send_signal(signal.SIGTERM)
        assert own.process.wait(timeout=20 * LEEWAY) == 0
