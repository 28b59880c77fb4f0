"""The ledger in the databases of the ground, and a writer that never pauses.

Every number is in the table twice, with amounts that cancel out: so half a transaction is visible, and a
missing one too.
"""

import contextlib
import itertools
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol, Self

from tests.ground import processes

INSERT = (
    "INSERT INTO ledger (number, amount) VALUES ({number}, 7), ({number}, -7); SELECT {number};\n"
)
COUNT = (
    "SELECT COALESCE(MAX(number), 0), COUNT(DISTINCT number), COUNT(*), COALESCE(SUM(amount), 0)"
    " FROM {table}"
)


@dataclass(frozen=True)
class Ledger:
    """The state of a ledger: a good one is numbered 1..last, whole, and balances."""

    last: int
    whole: bool

    @classmethod
    def of(cls, row: Sequence[str]) -> Self:
        """Read the answer to COUNT."""
        last, numbers, rows, balance = map(int, row)
        return cls(last, whole=numbers == last and rows == 2 * last and balance == 0)


class Server(Protocol):
    """A database with a ledger."""

    def ledger(self) -> Ledger:
        """Count the ledger."""

    def ledger_client(self) -> list[str | Path]:
        """Return the command of a client that reads statements and prints plain rows at once."""


@dataclass(frozen=True)
class Commit:
    """A commit that the server has acknowledged, and when (aware, UTC)."""

    number: int
    at: datetime


class Writer:
    """Commits `per_second` numbers a second into the ledger until its block ends.

    While commits are locked it waits; then it goes on without catching up.
    """

    def __init__(self, server: Server, *, per_second: float = 200) -> None:
        self.commits: list[Commit] = []
        self._server = server
        self._pause_seconds = 1 / per_second
        self._first = server.ledger().last + 1
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._write, name="ledger writer", daemon=True)
        self._client: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._client = subprocess.Popen(
            self._server.ledger_client(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        self._thread.start()
        self.wait_for(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(10)
        assert self._client is not None
        self._client.kill()
        self._thread.join()
        for pipe in (self._client.stdin, self._client.stdout):
            with contextlib.suppress(OSError):
                _close(pipe)
        self._client.wait()

    def between(self, start: datetime, end: datetime) -> list[Commit]:
        """Return the commits acknowledged between the two times."""
        return [commit for commit in self.commits if start <= commit.at <= end]

    def wait_for(self, commits: int, *, seconds: float = 20) -> None:
        """Return once this many more commits are acknowledged; TimeoutError if they are not."""
        goal = len(self.commits) + commits
        processes.wait_until(
            lambda: len(self.commits) >= goal, seconds=seconds, what=f"{commits} more commits"
        )

    def _write(self) -> None:
        client = self._client
        assert client is not None
        assert client.stdin is not None
        assert client.stdout is not None
        due = time.monotonic()
        for number in itertools.count(self._first):
            if self._stopped.is_set():
                return
            try:
                client.stdin.write(INSERT.format(number=number))
                answer = client.stdout.readline()
            except OSError:  # the client was killed at the end of the block
                return
            if answer.strip() != str(number):
                return
            self.commits.append(Commit(number, datetime.now(UTC)))
            due = max(due + self._pause_seconds, time.monotonic() - self._pause_seconds)
            time.sleep(max(0.0, due - time.monotonic()))


def _close(pipe: IO[str] | None) -> None:
    if pipe is not None:
        pipe.close()
