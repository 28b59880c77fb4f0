#!/usr/bin/env python3
"""verify: tells whether the ledger in a snapshot is the one that before held.

A proof runs it where the snapshot is opened: without a network, and with nothing of the server but its programs. The
ledger is opened as after a loss. It must have the mark that before of this very run wrote, nothing younger than the
snapshot, and books that balance.
"""

import contextlib
import os
import sqlite3
import sys
from datetime import datetime
from pathlib import Path

FILE = "ledger.sqlite3"
LAST = "SELECT max(closed, coalesce((SELECT max(number) FROM transactions), 0)) FROM books"
YOUNGEST = "SELECT coalesce(max(written_at_ns), 0) FROM transactions"
WRONG = """
    SELECT count(*) FROM accounts WHERE balance <> opening + coalesce(
        (SELECT sum(cents) FROM postings WHERE postings.account = accounts.account), 0)"""


def problem(database: sqlite3.Connection) -> str:
    """Return in what the ledger does not agree with its run; "" if it does."""
    whole = database.execute("PRAGMA integrity_check").fetchone()[0]
    if whole != "ok":
        return f"SQLite's own check says: {whole}."
    if database.execute("SELECT mark FROM marks").fetchall() != [(os.environ["N2W_MARK"],)]:
        return "The mark of this run is not in the ledger."
    fired = datetime.fromisoformat(os.environ["N2W_FIRED_AT"]).timestamp()
    if database.execute(YOUNGEST).fetchone()[0] > fired * 1e9:
        return "The ledger has transactions that are younger than the snapshot."
    wrong = database.execute(WRONG).fetchone()[0]
    return f"{wrong} accounts do not agree with their postings." if wrong else ""


def main() -> None:
    """Look at the ledger, and say what was found."""
    path = Path(os.environ["N2W_PROOF_DATA"]) / FILE
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as database:
        wrong = problem(database)
        if wrong:
            sys.exit(wrong)
        last = database.execute(LAST).fetchone()[0]
    print(f"The mark of this run is in the ledger, which balances up to transaction {last}.")  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
