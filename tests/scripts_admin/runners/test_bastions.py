"""Sessions through a bastion, and what is said when there is none."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from scripts_admin.hosts import keypairs
from scripts_admin.runners import ssh
from scripts_admin.runners.ssh import HostKeyError, Key, RefusedError, Why
from tests.ground import processes, sshd
from tests.ground.sshd import Sshd
from tests.scripts_admin.runners import sessions
from tests.scripts_admin.runners.sessions import SECONDS, at, everything, opened, refused

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sessions.running(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(scope="module")
def key(server: Sshd) -> Key:
    return Key((server.key.read_text(),))


def test_many_sessions_share_one_connection_to_their_bastion(
    server: Sshd, key: Key, tmp_path: Path
) -> None:
    with sshd.running(tmp_path / "bastion", ["MaxStartups 1:100:1"]) as bastion:
        bastion.let_in(server.key.with_suffix(".pub").read_text())
        address = at(server, bastion=at(bastion))
        opener = ssh.Opener()
        with ThreadPoolExecutor(8) as pool:
            sessions = list(pool.map(lambda _: opener.open(address, key, SECONDS), range(8)))
        assert [everything(each.start("echo ours"))[0] for each in sessions] == [b"ours\n"] * 8
        for each in sessions:
            each.close()
        assert bastion.log.read_text().count("Accepted publickey") == 1

        bastion.cut()
        opener.open(address, key, SECONDS).close()  # a lost bastion is connected to anew
        opener.close()
        assert bastion.log.read_text().count("Accepted publickey") == 2


def test_a_bastion_may_have_another_key(server: Sshd, key: Key, tmp_path: Path) -> None:
    with sshd.running(tmp_path / "bastion") as bastion:
        own = Key((bastion.key.read_text(),))
        address = at(server, bastion=at(bastion))
        assert refused(address, key).why == Why.KEY
        opened(address, replace(key, for_bastion=own)).close()


def test_a_bastion_that_is_away_delays_only_the_first(server: Sshd, key: Key) -> None:
    opener = ssh.Opener()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        away = replace(at(server), port=listening.getsockname()[1])
        address = at(server, bastion=away)
        for seconds in (0.3, SECONDS * 10):
            with pytest.raises(RefusedError) as raised:
                opener.open(address, key, seconds)
            assert raised.value.why == Why.SILENT


def test_a_bastion_that_forwards_nothing_is_told(server: Sshd, key: Key) -> None:
    error = refused(at(server, bastion=at(server, "alone")), key)

    assert error.why == Why.FORWARD
    assert "restrict,port-forwarding" in str(error)


def test_an_instance_that_its_bastion_does_not_reach_is_told(server: Sshd, key: Key) -> None:
    behind = replace(at(server, bastion=at(server)), port=processes.free_port())

    error = refused(behind, key)

    assert error.why == Why.FORWARD
    assert "could not connect" in str(error)


def test_the_changed_key_of_a_bastion_names_the_bastion(server: Sshd, key: Key) -> None:
    bastion = replace(at(server, "noisy"), host_keys=(str(keypairs.make().public),))

    with pytest.raises(HostKeyError) as raised:
        opened(at(server, bastion=bastion), key)

    assert raised.value.port == server.ports["noisy"]
