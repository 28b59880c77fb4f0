import stat
from pathlib import Path

import pytest
import redis

from n2wbackup.processes import valkey
from tests.ground import processes


def test_the_broker_opens_a_private_socket_and_no_port(tmp_path: Path) -> None:
    with processes.folder("n2wbackup ") as folder:
        socket = folder / "broker.sock"
        conf = tmp_path / "valkey.conf"
        conf.write_text(valkey.text(socket, folder))
        log = tmp_path / "log"
        server = processes.start([*valkey.command(conf)], log=log)
        try:
            processes.wait_until(socket.exists, seconds=60, what="the socket")
            with redis.Redis(unix_socket_path=str(socket)) as client:
                assert client.ping() is True
                assert client.config_get("port")["port"] == "0"
                assert client.config_get("save")["save"] == ""
                assert client.config_get("appendonly")["appendonly"] == "no"
            assert stat.S_IMODE(socket.stat().st_mode) == 0o700
        finally:
            processes.stop(server)
        assert list(folder.iterdir()) == [], "it stores nothing"


def test_a_socket_whose_path_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too long for a unix socket"):
        valkey.text(tmp_path / ("x" * 108), tmp_path)
