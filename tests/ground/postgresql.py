"""A throw-away PostgreSQL cluster on a unix socket and a free port on loopback."""

import contextlib
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.ground import components, ledger, processes

ACCOUNT = "postgres"  # if this process is root
USER = "ground"
BACKUP_ROLE = "n2wbackup"
# Exactly what the scripts of docs/recipes/postgresql need: the first line for method=checkpoint, the
# second for method=backup.
BACKUP_GRANTS = """
GRANT pg_checkpoint TO n2wbackup;
GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean) TO n2wbackup;
CREATE SCHEMA n2wbackup AUTHORIZATION n2wbackup;
"""
# The backup role has a password, everybody else logs in without one.
HBA = f"""
local all {BACKUP_ROLE} scram-sha-256
host all {BACKUP_ROLE} 127.0.0.1/32 scram-sha-256
local all all trust
host all all 127.0.0.1/32 trust
"""
LEDGER = """
CREATE TABLE ledger (
  id BIGSERIAL PRIMARY KEY,
  number BIGINT NOT NULL,
  amount BIGINT NOT NULL
);
CREATE INDEX ON ledger (number);
"""
Settings = Mapping[str, str]
QUICK: Settings = {"fsync": "off"}


@dataclass(frozen=True)
class Cluster:
    """A running cluster; its user `ground`, a superuser, needs no password."""

    folder: Path
    data: Path
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    backup_password: str = field(repr=False)

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database, over TCP."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run one statement and return its rows, unaligned; CalledProcessError if it fails."""
        done = subprocess.run(
            [*self._client(database), "-c", statement], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def open_shop(self) -> None:
        """Create the database shop with an empty ledger, and the role of the backup scripts."""
        self.sql("CREATE DATABASE shop")
        self.sql(LEDGER, database="shop")
        self.sql(
            f"CREATE ROLE {BACKUP_ROLE} LOGIN PASSWORD '{self.backup_password}' CONNECTION LIMIT 5"
        )
        self.sql(BACKUP_GRANTS)

    def ledger(self) -> ledger.Ledger:
        """Count the ledger."""
        row = self.sql(ledger.COUNT.format(table="ledger"), database="shop")
        return ledger.Ledger.of(row.split("|"))

    def ledger_client(self) -> list[str | Path]:
        """Return the command of a client in the ledger's database, which prints plain rows."""
        return self._client("shop")

    def service_file(self, path: Path, *, tcp: bool = False) -> Path:
        """Write the backup role's service file, mode 600: for the socket, or for TCP."""
        host = "127.0.0.1" if tcp else str(self.folder)
        path.touch(mode=0o600)
        path.write_text(
            f"[n2wbackup]\nhost={host}\nport={self.port}\ndbname=postgres\n"
            f"user={BACKUP_ROLE}\npassword={self.backup_password}\n"
        )
        return path

    def sessions_of_backup_role(self) -> list[int]:
        """Return the process ids of the backup role's sessions."""
        rows = self.sql("SELECT usename, pid FROM pg_stat_activity").splitlines()
        return [int(row.split("|")[1]) for row in rows if row.startswith(f"{BACKUP_ROLE}|")]

    def _client(self, database: str) -> list[str | Path]:
        options = ("-XAtq", "-v", "ON_ERROR_STOP=1")
        return [components.program("psql"), *options, self.url(database)]


@contextlib.contextmanager
def running(
    *,
    data: Path | None = None,
    wal: Path | None = None,
    settings: Settings = QUICK,
    backup_password: str | None = None,
    standby: bool = False,
    port: int | None = None,
) -> Iterator[Cluster]:
    """Run a cluster until the block ends; RuntimeError if it cannot start.

    It accepts writes, except as a `standby`: then `data` are a copy with the file standby.signal.

    Without `data`, the data are in their own folder, and WAL in `wal` or with the data. Existing data, a
    restored copy, are used as they are. The password of the backup role in them is unknown: pass it if it
    is needed.

    PostgreSQL refuses to run as root, and the account that it then runs as cannot enter pytest's folders.
    """
    # postgres may be found through a link, but initdb looks for it in its own folder.
    postgres = components.program("postgres").resolve()
    with processes.folder() as folder:
        where, log = data or folder / "data", folder / "log"
        for each in filter(None, (folder, where, wal)):
            own_folder(each)
        if not (where / "PG_VERSION").exists():
            _initialise(where, wal, synced=settings.get("fsync") != "off", log=log)
        port = port or processes.free_port()
        wanted = {"listen_addresses": "127.0.0.1", "unix_socket_directories": folder, **settings}
        options = [f"--{name}={value}" for name, value in wanted.items()]
        process = processes.start(
            [postgres, "-D", where, "-p", str(port), *options],
            log=log,
            account=processes.unprivileged(ACCOUNT),
            cwd=folder,
        )
        password = backup_password or secrets.token_hex(12)
        cluster = Cluster(folder, where, port, process, log, password)
        try:
            processes.wait_until(
                lambda: _answers(cluster, standby=standby), seconds=60, what="PostgreSQL answers"
            )
            yield cluster
        finally:
            # On TERM it would wait for clients that a failed test left connected.
            processes.stop(process, politely=signal.SIGINT)


def own_folder(path: Path) -> Path:
    """Create a folder if it is missing, owned by the account that clusters run as."""
    path.mkdir(parents=True, exist_ok=True)
    return own(path)


def own(path: Path) -> Path:
    """Make the account that clusters run as the owner of a file or folder."""
    account = processes.unprivileged(ACCOUNT)
    if account:
        shutil.chown(path, account)
    return path


def archiving(archive: Path) -> Settings:
    """Return the settings of a cluster that copies its WAL to a folder and needs little space."""
    return {
        "archive_mode": "on",
        "archive_command": f"test ! -f {archive}/%f && cp %p {archive}/%f",
        "max_wal_size": "32MB",
        "min_wal_size": "8MB",
    }


def _initialise(data: Path, wal: Path | None, *, synced: bool, log: Path) -> None:
    initdb = components.program("initdb").resolve()
    options = ["-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--wal-segsize=1"]
    if not synced:
        options.append("--no-sync")
    if wal:
        options.append(f"--waldir={wal}")
    process = processes.start(
        [initdb, "-D", data, "-U", USER, *options],
        log=log,
        account=processes.unprivileged(ACCOUNT),
        cwd=log.parent,
    )
    if process.wait(60) != 0:
        raise RuntimeError(f"initdb failed: {log.read_text()[-2000:]}")
    (data / "pg_hba.conf").write_text(HBA)


def _answers(cluster: Cluster, *, standby: bool) -> bool:
    processes.check_alive(cluster.process, cluster.log, "PostgreSQL")
    with contextlib.suppress(subprocess.CalledProcessError):
        return cluster.sql("SELECT pg_is_in_recovery()") == ("t" if standby else "f")
    return False
