"""The sample application: a ledger in SQLite, and the process that writes to it all the time.

Double entry: the postings of every transaction sum to 0, transactions are numbered without a gap,
and each account's balance is stored beside the postings that it results from. So everything torn,
lost or written twice is visible. Money is counted in cents.
"""

import contextlib
import random
import sqlite3
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

FILE = "ledger.sqlite3"
PER_SECOND = 200
_ACCOUNTS = 50
_LOCK_SECONDS = 300.0  # how long a posting waits while the ledger is held
_SCHEMA = """
    CREATE TABLE accounts (
        account INTEGER PRIMARY KEY, opening INTEGER NOT NULL, balance INTEGER NOT NULL);
    CREATE TABLE transactions (number INTEGER PRIMARY KEY, written_at_ns INTEGER NOT NULL);
    CREATE TABLE postings (
        number INTEGER NOT NULL, account INTEGER NOT NULL, cents INTEGER NOT NULL,
        PRIMARY KEY (number, account)) WITHOUT ROWID;
    CREATE TABLE books (closed INTEGER NOT NULL);
    CREATE TABLE marks (mark TEXT NOT NULL);  -- of the last backup: before writes it
"""
# Transactions up to `closed` are in the opening balances; later ones are the log.
_LAST = "SELECT max(closed, coalesce((SELECT max(number) FROM transactions), 0)) FROM books"


@dataclass(frozen=True, slots=True)
class Books:
    """The state of a ledger.

    `problems` is empty if it opens, is whole and balances; `last` is the number of its last
    transaction, `closed` that of the last one trimmed from the log.
    """

    last: int = 0
    closed: int = 0
    problems: tuple[str, ...] = ()

    @property
    def balances(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "problems": list(self.problems), "balances": self.balances}


def create(folder: Path) -> Path:
    """Create a ledger in `folder` and return its file."""
    folder.mkdir(parents=True)
    path = folder / FILE
    with contextlib.closing(_connect(path)) as database:
        # Commits go to the log beside the file; a freeze of the ledger flushes both to the disk.
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(_SCHEMA)
        database.execute("INSERT INTO books VALUES (0)")
        database.executemany(
            "INSERT INTO accounts VALUES (?, 0, 0)", [(number,) for number in range(_ACCOUNTS)]
        )
    return path


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_LOCK_SECONDS, isolation_level=None)
    database.execute("PRAGMA synchronous = NORMAL")
    return database


def post(database: sqlite3.Connection, debtor: int, creditor: int, cents: int) -> int:
    """Move `cents` from one account to another; return the transaction's number once committed.

    Its time is taken when it gets its turn to write: a posting that had to wait has the time when it
    went on.
    """
    database.execute("BEGIN IMMEDIATE")
    with database:
        number = int(database.execute(_LAST).fetchone()[0]) + 1
        database.execute("INSERT INTO transactions VALUES (?, ?)", (number, time.time_ns()))
        for account, amount in ((debtor, -cents), (creditor, cents)):
            database.execute("INSERT INTO postings VALUES (?, ?, ?)", (number, account, amount))
            database.execute(
                "UPDATE accounts SET balance = balance + ? WHERE account = ?", (amount, account)
            )
    return number


def fill(path: Path) -> NoReturn:
    """Post at random, `PER_SECOND` times a second if the disk is fast enough, until killed."""
    database = _connect(path)
    due = time.monotonic()
    while True:
        debtor, creditor = random.sample(range(_ACCOUNTS), 2)
        post(database, debtor, creditor, random.randint(1, 100_000))
        # Do not catch up on postings that were missed while the ledger was held.
        due = max(due + 1 / PER_SECOND, time.monotonic() - 1 / PER_SECOND)
        time.sleep(max(0.0, due - time.monotonic()))


def audit(path: Path) -> Books:
    """Open a ledger and check its books. Problems are returned, never raised.

    Opening a copy recovers it, as after a power cut: this writes to it.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as database:
            # Read all in one transaction: a ledger that is in use would change between the queries.
            database.execute("BEGIN")
            last, closed = int(_one(database, _LAST)), int(_one(database, "SELECT * FROM books"))
            return Books(last, closed, tuple(_problems(database, last, closed)))
    except (sqlite3.Error, TypeError) as error:
        return Books(problems=(f"The ledger {path.name} cannot be read: {error}.",))


def written_between(path: Path, start_ns: int, end_ns: int) -> int:
    """Return how many transactions of the log were written from `start_ns` to `end_ns` (UNIX)."""
    with contextlib.closing(_connect(path)) as database:
        query = "SELECT count(*) FROM transactions WHERE written_at_ns BETWEEN ? AND ?"
        return int(database.execute(query, (start_ns, end_ns)).fetchone()[0])


def _one(database: sqlite3.Connection, query: str) -> str | int:
    value: str | int = database.execute(query).fetchone()[0]
    return value


def _problems(database: sqlite3.Connection, last: int, closed: int) -> list[str]:
    integrity = str(_one(database, "PRAGMA integrity_check"))
    kept = _one(database, "SELECT count(*) FROM transactions")
    uneven = _one(
        database,
        """SELECT count(*) FROM transactions WHERE
           (SELECT count(*) FROM postings p WHERE p.number = transactions.number) <> 2 OR
           (SELECT sum(cents) FROM postings p WHERE p.number = transactions.number) <> 0""",
    )
    stray = _one(
        database,
        "SELECT count(*) FROM postings WHERE number NOT IN (SELECT number FROM transactions)",
    )
    wrong = _one(
        database,
        """SELECT count(*) FROM accounts a WHERE balance <> opening + coalesce(
           (SELECT sum(cents) FROM postings p WHERE p.account = a.account), 0)""",
    )
    total = _one(database, "SELECT sum(balance) FROM accounts")
    found = {
        f"SQLite's own check says: {integrity}.": integrity != "ok",
        f"{kept} transactions are there instead of {last - closed}.": kept != last - closed,
        f"{uneven} transactions do not sum to 0.": uneven,
        f"{stray} postings belong to no transaction.": stray,
        f"{wrong} accounts do not agree with their postings.": wrong,
        f"All accounts together have {total} cents instead of 0.": total,
    }
    return [sentence for sentence, is_so in found.items() if is_so]


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
