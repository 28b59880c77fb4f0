"""A throw-away MariaDB server with a binary log and a ledger in it."""

import contextlib
import os
import re
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.ground import components, ledger, processes

SOCKET = "mariadb.sock"
OPTIONS = (
    "--bind-address=127.0.0.1",
    "--server-id=1",
    "--log-bin=binlog",
    "--binlog-format=ROW",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=16M",
)
BACKUP_USER = "n2wbackup"
# Exactly what the scripts of docs/recipes/mariadb need.
BACKUP_PRIVILEGES = ("RELOAD", "BINLOG MONITOR", "BINLOG ADMIN")
MARK_PRIVILEGES = ("CREATE", "SELECT", "INSERT", "DELETE")

LEDGER = """
CREATE DATABASE shop;
CREATE TABLE shop.ledger (
  id BIGINT AUTO_INCREMENT PRIMARY KEY,
  number BIGINT NOT NULL,
  amount BIGINT NOT NULL,
  KEY (number)
) ENGINE=InnoDB;
"""


@dataclass(frozen=True)
class Server:
    """A running server; its superuser root logs in through the socket without a password."""

    folder: Path
    data: Path
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    backup_password: str = field(repr=False)

    @property
    def socket(self) -> Path:
        """The unix socket, in the server's folder."""
        return self.folder / SOCKET

    def sql(self, statement: str) -> list[list[str]]:
        """Run statements as root and return the rows; CalledProcessError if one fails."""
        done = subprocess.run(
            self.client("--batch", "--skip-column-names", "-e", statement),
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return [line.split("\t") for line in done.stdout.splitlines()]

    def client(self, *arguments: str) -> list[str | Path]:
        """Return the command that runs the client as root with these arguments."""
        program = components.program("mariadb")
        return [program, "--no-defaults", f"--socket={self.socket}", "--user=root", *arguments]

    def ledger_client(self) -> list[str | Path]:
        """Return the command of a client in the ledger's database, which prints plain rows."""
        return self.client("--batch", "--skip-column-names", "--unbuffered", "shop")

    def option_file(self, path: Path, *, tcp: bool = False) -> Path:
        """Write the backup user's option file, mode 600: for the socket, or for TCP."""
        where = f"host=127.0.0.1\nport={self.port}" if tcp else f"socket={self.socket}"
        path.touch(mode=0o600)
        password = self.backup_password
        path.write_text(f"[client]\nuser={BACKUP_USER}\npassword={password}\n{where}\n")
        return path

    def sessions_of_backup_user(self) -> list[int]:
        """Return the connection ids of the backup user's sessions."""
        rows = self.sql("SELECT id, user FROM information_schema.processlist")
        return [int(row[0]) for row in rows if row[1] == BACKUP_USER]

    def position(self) -> tuple[str, int]:
        """Return the current file and offset of the binary log."""
        row = self.sql("SHOW MASTER STATUS")[0]
        return row[0], int(row[1])

    def binary_logs(self) -> list[str]:
        """Return the names of the server's binary logs, oldest first."""
        return [row[0] for row in self.sql("SHOW BINARY LOGS")]

    def ledger(self) -> ledger.Ledger:
        """Count the ledger."""
        return ledger.Ledger.of(self.sql(ledger.COUNT.format(table="shop.ledger"))[0])

    def last_number_in_binary_log(self, file: str, offset: int) -> int:
        """Return the last number committed before this position; 0 if there is none."""
        options = ("-v", "--base64-output=DECODE-ROWS", f"--stop-position={offset}")
        events = self._events(options, self.binary_logs()[0], file)
        inserts = re.split(r"### INSERT INTO `shop`\.`ledger`", events)[1:]
        numbers = [int(match[1]) for each in inserts if (match := re.search(r"@2=(\d+)", each))]
        return max(numbers, default=0)

    def replay(self, other: "Server", *, since: tuple[str, int], until: tuple[str, int]) -> None:
        """Apply the other server's commits between two positions of its binary log."""
        options = (f"--start-position={since[1]}", f"--stop-position={until[1]}")
        events = other._events(options, since[0], until[0])
        subprocess.run(self.client(), input=events, check=True, capture_output=True, text=True)

    def _events(self, options: Sequence[str], first: str, last: str) -> str:
        """The output of mariadb-binlog for the binary logs from the first to the last."""
        names = self.binary_logs()
        logs = [self.data / name for name in names[names.index(first) : names.index(last) + 1]]
        binlog = components.program("mariadb-binlog")
        done = subprocess.run(
            [binlog, "--no-defaults", *options, *logs], check=True, capture_output=True, text=True
        )
        return done.stdout


@contextlib.contextmanager
def running(
    folder: Path,
    *,
    data: Path | None = None,
    backup_password: str | None = None,
    options: Sequence[str] = (),
) -> Iterator[Server]:
    """Run a server until the block ends; `folder`, a short path, is for its socket and its log.

    Without `data`, the data are in `folder/data`. Existing data, a restored copy, are used as they are;
    otherwise they are created, with the ledger and the backup user. In a copy the password of this user is
    unknown: pass it if it is needed.
    """
    program = components.program("mariadbd")
    folder.mkdir(parents=True, exist_ok=True)
    where = data or folder / "data"
    is_new = not (where / "mysql").exists()
    if is_new:
        _install(where, folder / "install.log")
    port, log = processes.free_port(), folder / "mariadb.log"
    places = (f"--datadir={where}", f"--socket={folder / SOCKET}", f"--pid-file={folder / 'pid'}")
    process = processes.start(
        [program, "--no-defaults", *places, f"--port={port}", *OPTIONS, *_as_root(), *options],
        log=log,
    )
    password = backup_password or secrets.token_hex(12)
    server = Server(folder, where, port, process, log, password)
    try:
        processes.wait_until(lambda: _answers(server), seconds=60, what="MariaDB answers")
        if is_new:
            server.sql(LEDGER + _backup_user(password))
        yield server
    finally:
        processes.stop(process, seconds=60)


def _install(data: Path, log: Path) -> None:
    data.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        install = components.program("mariadb-install-db")
        options = ("--skip-test-db", "--auth-root-authentication-method=normal", *_as_root())
        subprocess.run(
            [install, "--no-defaults", f"--datadir={data}", *options],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


def _as_root() -> list[str]:
    # It refuses to run as root without this option; another account could not enter pytest's folders.
    return ["--user=root"] if os.geteuid() == 0 else []


def _backup_user(password: str) -> str:
    return "".join(
        f"CREATE USER {BACKUP_USER}@'{host}' IDENTIFIED BY '{password}';"
        f"GRANT {', '.join(BACKUP_PRIVILEGES)} ON *.* TO {BACKUP_USER}@'{host}';"
        f"GRANT {', '.join(MARK_PRIVILEGES)} ON n2wbackup.* TO {BACKUP_USER}@'{host}';"
        for host in ("localhost", "127.0.0.1")
    )


def _answers(server: Server) -> bool:
    processes.check_alive(server.process, server.log, "MariaDB")
    with contextlib.suppress(subprocess.CalledProcessError):
        return server.sql("SELECT 1") == [["1"]]
    return False
