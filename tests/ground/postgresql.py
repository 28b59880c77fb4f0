"""A throw-away PostgreSQL cluster on a unix socket and a free port of the loopback."""

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.ground import components, processes

USER = "ground"


@dataclass(frozen=True)
class Cluster:
    """A running cluster whose only user, a superuser, needs no password."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database, over TCP."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run one statement and return its rows, unaligned; CalledProcessError when it fails."""
        psql = components.program("psql")
        options = ("-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement)
        done = subprocess.run(
            [psql, *options, self.url(database)], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()


@contextlib.contextmanager
def running() -> Iterator[Cluster]:
    """Make a cluster and run it until the block ends.

    Its data lie in a folder of their own: PostgreSQL refuses root, and the account that it then
    runs as cannot enter a folder of pytest's.
    """
    initdb, postgres = components.program("initdb"), components.program("postgres")
    # A link may point to initdb from elsewhere, and it looks for postgres beside itself.
    initdb, postgres = initdb.resolve(), postgres.resolve()
    account = processes.unprivileged("postgres")
    with processes.folder() as folder:
        if account:
            shutil.chown(folder, account)
        log = folder / "log"
        _initialise(initdb, folder / "data", account=account, log=log)
        port = processes.free_port()
        options = ("-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-p", str(port))
        process = processes.start(
            [postgres, "-D", folder / "data", "-k", folder, *options],
            log=log,
            account=account,
            cwd=folder,
        )
        cluster = Cluster(folder, port, process, log)
        try:
            processes.wait_until(lambda: _answers(cluster), seconds=30, what="PostgreSQL answers")
            yield cluster
        finally:
            # On TERM it would wait for the clients that a failed test left connected.
            processes.stop(process, politely=signal.SIGINT)


def _initialise(initdb: Path, data: Path, *, account: str | None, log: Path) -> None:
    process = processes.start(
        [initdb, "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"],
        log=log,
        account=account,
        cwd=data.parent,
    )
    if process.wait(60) != 0:
        raise RuntimeError(f"initdb failed: {log.read_text()[-2000:]}")


def _answers(cluster: Cluster) -> bool:
    processes.check_alive(cluster.process, cluster.log, "PostgreSQL")
    with contextlib.suppress(subprocess.CalledProcessError):
        return cluster.sql("SELECT 1") == "1"
    return False
