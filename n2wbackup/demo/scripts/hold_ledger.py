#!/usr/bin/env python3
"""Holds the ledger: the child that before leaves behind. It ends on request, or at its deadline.

It writes its state into the file `hold` in the state folder, and holds that file's lock as long as it
lives: the kernel's lock shows whether the ledger is held. A byte in the pipe `release` beside it is
the request to release the ledger.
"""

import contextlib
import fcntl
import json
import os
import select
import shlex
import sqlite3
import sys
import time
from pathlib import Path

LOCK_SECONDS = 10.0  # how long to wait for a running transaction
LAST = "SELECT max(closed, coalesce((SELECT max(number) FROM transactions), 0)) FROM books"


def settings() -> dict[str, str]:
    """Return the names and values of ledger.conf, which a shell can read too."""
    text = Path("ledger.conf").read_text(encoding="utf-8")
    lines = [line.partition("=") for line in text.splitlines() if "=" in line]
    return {name: shlex.split(value)[0] for name, _, value in lines}


def write(file: int, **known: object) -> None:
    """Write the state into the file, as one line."""
    text = json.dumps({"run": os.environ.get("N2W_RUN_ID", "by hand"), **known}) + "\n"
    os.pwrite(file, text.encode(), 0)
    os.ftruncate(file, len(text.encode()))


def lock(ledger: Path) -> "tuple[sqlite3.Connection, int]":
    """Block all writes; return the connection that holds the lock, and the last transaction.

    On return everything committed is on the disk, and the mark of this backup with it.
    """
    database = sqlite3.connect(ledger, timeout=LOCK_SECONDS, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    with database:
        database.execute("DELETE FROM marks")
        database.execute("INSERT INTO marks VALUES (?)", (os.environ.get("N2W_MARK", ""),))
    database.execute("BEGIN IMMEDIATE")
    last = int(database.execute(LAST).fetchone()[0])
    # A second connection, because one cannot do both: it moves SQLite's log into the file.
    with contextlib.closing(sqlite3.connect(ledger)) as other:
        other.execute("PRAGMA wal_checkpoint(PASSIVE)")
    return database, last


def wait(pipe: int, seconds: float) -> str:
    """Return "released" on a request, "expired" if none came in time."""
    # This clock goes on while the machine sleeps.
    until = time.clock_gettime(time.CLOCK_BOOTTIME) + seconds
    while time.clock_gettime(time.CLOCK_BOOTTIME) < until:
        if select.select([pipe], [], [], 0.5)[0]:
            return "released"
    return "expired"


def main() -> None:
    """Hold the ledger; report it in one line on standard output."""
    os.setsid()  # a signal to before's process group must not end the hold
    known = settings()
    state, seconds = Path(known["state"]), float(known["deadline_seconds"])
    state.mkdir(parents=True, exist_ok=True)
    hold = os.open(state / "hold", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("The ledger is already held: release it with after, or wait for the deadline.")
    write(hold, state="waiting")
    # Create the pipe first, so that an early request is not lost.
    request = state / "release"
    request.unlink(missing_ok=True)
    os.mkfifo(request, 0o600)
    pipe = os.open(request, os.O_RDWR | os.O_NONBLOCK)
    try:
        database, last = lock(Path(known["ledger"]))
    except sqlite3.Error as error:
        sys.exit(f"The ledger {known['ledger']} cannot be locked: {error}.")
    write(hold, state="holding", last=last)
    print(f"The ledger stands still at transaction {last}.", flush=True)  # noqa: T201 - its answer
    # Write the state before the lock is released: "released" proves that the hold lasted until then.
    write(hold, state=wait(pipe, seconds), last=last)
    database.rollback()


if __name__ == "__main__":
    main()
