"""What the courier connects to and sends, at the moment of doing it: asked of the real one."""

import json
import socket
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from pytest_django import Settings

from policies.adapters import courier, post
from policies.adapters.post import Letter
from tests.contract.test_courier import NOT_REACHED
from tests.ground import receivers as ground
from tests.ground.receivers import Webhook


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with ground.webhook() as served:
        yield served


def own_addresses() -> list[str]:
    told = subprocess.run(["ip", "-json", "address"], capture_output=True, check=True).stdout
    return [
        f"[{each['local']}]" if each["family"] == "inet6" else each["local"]
        for link in json.loads(told)
        for each in link["addr_info"]
        if each["scope"] != "link"
    ]


def test_no_address_of_any_interface_is_reached(settings: Settings) -> None:
    settings.N2W_ALARM_NETWORKS = []
    urls = [f"{kind}://{each}:9/x" for each in own_addresses() for kind in ("http", "json")]
    letters = [
        Letter(n, url, "a title" if url.startswith("json") else "", "text")
        for n, url in enumerate(urls)
    ]

    assert len(letters) >= 2
    assert post.carry(letters) == {letter.id: NOT_REACHED for letter in letters}


@pytest.mark.parametrize(
    "host",
    [
        *("[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::a9fe:a9fe]"),
        *("[2002:a9fe:a9fe::1]", "[fd00:ec2::23]", "169.254.170.2", "169.254.170.23"),
    ],
)
@pytest.mark.parametrize("title", ["a title", ""])
def test_metadata_is_not_reached_even_if_every_network_is_allowed(
    settings: Settings, host: str, title: str
) -> None:
    settings.N2W_ALARM_NETWORKS = [ip_network("0.0.0.0/0"), ip_network("::/0")]

    problem = post.carry([Letter(1, f"{'json' if title else 'http'}://{host}/x", title, "text")])[1]

    assert problem == NOT_REACHED or (title and problem.startswith("something is missing or wrong"))


def test_a_ping_with_user_and_password_has_both_in_utf_8(hook: Webhook, settings: Settings) -> None:
    settings.N2W_ALARM_NETWORKS = [ip_network("127.0.0.0/8")]
    url = f"http://us%40er:p%C3%A4ss%2F@127.0.0.1:{hook.port}/ping"

    assert post.carry([Letter(1, url)]) == {1: ""}

    assert hook.headers[0]["Authorization"] == f"Basic {b64encode('us@er:päss/'.encode()).decode()}"
    assert hook.headers[0]["Host"] == f"127.0.0.1:{hook.port}"
    assert hook.requests == [("GET", "/ping", {})]


def test_a_password_of_a_ping_is_in_no_problem(settings: Settings) -> None:
    settings.N2W_ALARM_NETWORKS = [ip_network("127.0.0.0/8")]
    with ground.webhook(status=401) as hook:
        url = f"http://someone:hunter2hunter2@127.0.0.1:{hook.port}/ping"
        problem = post.carry([Letter(1, url)])[1]

    assert problem == "the receiver answered 401."


@pytest.mark.parametrize("title", ["a title", ""])
@pytest.mark.parametrize("target", ["169.254.169.254", "127.0.0.1:1", "localhost:1"])
def test_a_proxy_is_not_asked_for_what_is_not_reached(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, target: str, title: str
) -> None:
    proxy = socket.create_server(("127.0.0.2", 0))
    settings.N2W_ALARM_NETWORKS = [ip_network("127.0.0.2/32")]
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.2:{proxy.getsockname()[1]}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    got: list[bytes] = []
    thread = threading.Thread(target=_listen, args=(proxy, got))
    thread.start()

    problem = post.carry([Letter(1, f"{'json' if title else 'http'}://{target}/x", title, "text")])[
        1
    ]

    thread.join()
    assert problem == NOT_REACHED
    assert b"".join(got) == b""


def _listen(proxy: socket.socket, got: list[bytes]) -> None:
    with proxy:
        proxy.settimeout(40)
        connection, _ = proxy.accept()
        with connection:
            connection.settimeout(40)
            got.append(connection.recv(65536))


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "TRACE"])
def test_no_request_of_another_kind_leaves(method: str) -> None:
    with pytest.raises(courier.ForbiddenError, match=f"not allowed to be sent by {method}"):
        courier._check_request(f"{method} /x HTTP/1.1\r\nHost: a\r\n\r\n".encode(), [])

    courier._check_request(b"POST /x HTTP/1.1\r\nHost: a\r\n\r\n", [])
    courier._check_request(b'{"a body": "PUT /x HTTP/1.1"}', [])
