#!/usr/bin/env python3
"""complete: with 1, trims the ledger's log up to the last transaction before the hold.

Everything up to there is in usable snapshots: these transactions are added to the accounts' opening
balances and deleted. With 0 nothing is trimmed, because the log may be the only copy.
"""

import contextlib
import json
import os
import shlex
import sqlite3
import sys
from pathlib import Path

WRITE_SECONDS = 20.0


def settings() -> dict[str, str]:
    """Return the names and values of ledger.conf: beside this file, or in the working folder."""
    beside = Path(__file__).with_name("ledger.conf")
    text = (beside if beside.exists() else Path("ledger.conf")).read_text(encoding="utf-8")
    lines = [line.partition("=") for line in text.splitlines() if "=" in line]
    return {name: shlex.split(value)[0] for name, _, value in lines}


def position(state: Path) -> int:
    """Return the transaction at which this run's before stopped the ledger."""
    try:
        hold = json.loads((state / "hold").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        hold = {}
    if hold.get("run") != os.environ.get("N2W_RUN_ID", "by hand") or "last" not in hold:
        sys.exit("It is unknown where this run's before stopped the ledger: nothing trimmed.")
    return int(hold["last"])


def trim(ledger: str, last: int) -> int:
    """Close the books up to transaction `last`; return how many transactions were trimmed."""
    with contextlib.closing(
        sqlite3.connect(ledger, timeout=WRITE_SECONDS, isolation_level=None)
    ) as database:
        database.execute("BEGIN IMMEDIATE")
        with database:
            database.execute(
                "UPDATE accounts SET opening = opening + coalesce((SELECT sum(cents) FROM postings "
                "WHERE postings.account = accounts.account AND number <= ?), 0)",
                (last,),
            )
            database.execute("DELETE FROM postings WHERE number <= ?", (last,))
            trimmed = database.execute("DELETE FROM transactions WHERE number <= ?", (last,))
            database.execute("UPDATE books SET closed = max(closed, ?)", (last,))
        return trimmed.rowcount


def main() -> None:
    """Trim the log, or leave it."""
    argument = "".join(sys.argv[1:2])
    if argument == "0":
        print("Not everything is in usable snapshots: nothing trimmed.")  # noqa: T201 - its answer
    elif argument == "1":
        known = settings()
        last = position(Path(known["state"]))
        count = trim(known["ledger"], last)
        print(f"{count} transactions up to {last} trimmed from the log.")  # noqa: T201 - its answer
    else:
        sys.exit("complete takes one argument: 1 if everything succeeded, else 0.")


if __name__ == "__main__":
    main()
