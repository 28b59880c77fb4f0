"""Asking a real sshd for its key; and whom the server asks for nobody."""

import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from pytest_django import Settings

from scripts_admin.hosts import asking
from scripts_admin.hosts.asking import NotAskedError
from tests.ground import processes, sshd
from tests.ground.sshd import Sshd

SECONDS = 20.0  # a loaded machine may take a while; nothing here waits for it to pass


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd.running(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def loopback(settings: Settings) -> None:
    settings.N2W_SSH_NETWORKS = [ip_network("127.0.0.0/8")]


@pytest.mark.real
def test_a_host_shows_its_key_and_its_address(server: Sshd, loopback: None) -> None:
    answer = asking.ask("127.0.0.1", server.port, SECONDS)

    assert str(answer.key) in (server.config.parent / "host_key.pub").read_text()
    assert answer.address == "127.0.0.1"


@pytest.mark.real
def test_a_host_without_a_key_of_the_kind_says_so(server: Sshd, loopback: None) -> None:
    with pytest.raises(asking.OtherKindError, match="no host key of the kind ssh-rsa"):
        asking.ask("127.0.0.1", server.port, SECONDS, ["ssh-rsa"])


@pytest.mark.parametrize(
    "greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"SSH-2.0-x\r\nnonsense"]
)
def test_what_is_no_ssh_server_and_what_is_no_server_get_the_same_sentence(
    loopback: None, greeting: bytes
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        served = threading.Thread(target=_serve, args=(listening, greeting), daemon=True)
        served.start()
        with pytest.raises(NotAskedError) as open_port:
            asking.ask("127.0.0.1", port, SECONDS)
        served.join()
    with pytest.raises(NotAskedError) as closed_port:
        asking.ask("127.0.0.1", port, SECONDS)

    assert str(open_port.value) == str(closed_port.value)
    assert "did not answer as an SSH server" in str(closed_port.value)


def _serve(listening: socket.socket, greeting: bytes) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.sendall(greeting)


def test_a_server_that_says_nothing_is_left_after_the_bound(loopback: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(NotAskedError):
        asking.ask("127.0.0.1", listening.getsockname()[1], 0.2)


@pytest.mark.parametrize(
    "name",
    [
        "127.0.0.1",
        "::1",
        "localhost",
        "0.0.0.0",  # noqa: S104 - nothing is bound
        "169.254.169.254",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
    ],
)
def test_the_server_itself_and_the_metadata_service_are_not_asked(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "_connected", lambda *_: pytest.fail("it was asked"))

    with pytest.raises(NotAskedError, match="was not asked"):
        asking.ask(name, 22, SECONDS)


def test_no_setting_opens_the_metadata_service(settings: Settings) -> None:
    settings.N2W_SSH_NETWORKS = [ip_network("0.0.0.0/0")]

    with pytest.raises(NotAskedError, match="was not asked"):
        asking.ask("169.254.169.254", 22, SECONDS)


def test_a_name_that_has_also_an_address_of_the_server_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [(2, 1, 6, "", (ip, 22)) for ip in ("203.0.113.9", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: rows)
    monkeypatch.setattr(asking, "_connected", lambda *_: pytest.fail("it was asked"))

    with pytest.raises(NotAskedError, match="was not asked"):
        asking.ask("rebinding.example.org", 22, SECONDS)


def test_a_name_that_nobody_knows_says_so() -> None:
    with pytest.raises(NotAskedError, match="not known to this server's name service"):
        asking.ask("no-such-host.invalid", processes.free_port(), SECONDS)


def test_an_address_does_not_wait_for_the_names_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that hang in a tenant's name service must not switch off the look at another tenant's hosts."""
    slots = asking.Slots(most=3, of_one=2)
    monkeypatch.setattr(asking, "_RESOLVERS", slots)
    assert slots.take("mallory", 0)
    assert slots.take("mallory", 0)

    assert asking._resolved("192.0.2.1", 22, 0, "mallory") == ["192.0.2.1"]
    with pytest.raises(NotAskedError, match="has not answered for other names yet"):
        asking.address_of("localhost", 22, 0, whom="mallory")
    assert asking._resolved("localhost", 22, SECONDS, "alice")

    assert slots.take("alice", SECONDS), "what hers took is given back"
    assert not slots.take("bob", 0), "there are few in all"
    slots.give_back("mallory")
    assert slots.take("bob", 0)
