#!/usr/bin/env python3
"""after: lets the ledger go on, whatever happened.

With 1 (before succeeded) it first proves that nothing was written during the hold, and fails if
something was: then the snapshots are no better than after a power cut. With 0, and from the second
attempt on, it is enough that nothing holds the ledger any more.
"""

import contextlib
import errno
import fcntl
import json
import os
import shlex
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

RELEASE_SECONDS = 15.0
LAST = "SELECT max(closed, coalesce((SELECT max(number) FROM transactions), 0)) FROM books"


def settings() -> dict[str, str]:
    """Return the names and values of ledger.conf: beside this file, or in the working folder."""
    beside = Path(__file__).with_name("ledger.conf")
    text = (beside if beside.exists() else Path("ledger.conf")).read_text(encoding="utf-8")
    lines = [line.partition("=") for line in text.splitlines() if "=" in line]
    return {name: shlex.split(value)[0] for name, _, value in lines}


def said(hold: int) -> "dict[str, Any]":
    """Return what the holder wrote about itself."""
    with contextlib.suppress(ValueError):
        found: dict[str, Any] = json.loads(os.pread(hold, 4096, 0))
        return found
    return {}


def last_transaction(ledger: str) -> "int | None":
    """Return the number of the ledger's last transaction, as every reader sees it."""
    # An error in the ledger must not prevent its release.
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(ledger)) as database,
    ):
        return int(database.execute(LAST).fetchone()[0])
    return None


def ask(request: Path) -> bool:
    """Ask the holder to release the ledger; False if there is no holder."""
    try:
        pipe = os.open(request, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENXIO}:  # there is no pipe, or nobody reads from it
            return False
        raise
    os.write(pipe, b"\n")
    os.close(pipe)
    return True


def wait_until_free(hold: int) -> None:
    """Return once the holder is gone."""
    until = time.clock_gettime(time.CLOCK_BOOTTIME) + RELEASE_SECONDS
    while time.clock_gettime(time.CLOCK_BOOTTIME) < until:
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(hold, fcntl.LOCK_SH | fcntl.LOCK_NB)
        time.sleep(0.002)
    sys.exit("The ledger is still held: try again, or wait for the holder's deadline.")


def release(known: "dict[str, str]") -> str:
    """Let the ledger go on; return a sentence that says why there is no proof, or ""."""
    state = Path(known["state"])
    try:
        hold = os.open(state / "hold", os.O_RDONLY)
    except FileNotFoundError:
        return "Nothing held the ledger."
    before = said(hold)
    # Read before the release: what is there now was there when the snapshots were made.
    last = last_transaction(known["ledger"])
    asked = ask(state / "release")
    wait_until_free(hold)
    found = said(hold)
    if before.get("run") != os.environ.get("N2W_RUN_ID", "by hand"):
        return "Another run held the ledger, not this one."
    if not asked:
        return "The ledger was no longer held: the holder died, or reached its deadline."
    if before.get("state") != "holding" or found.get("state") != "released":
        return "The lock was lost before the release."
    if found.get("last") != last:
        return f"Transactions {found.get('last')} to {last} were written despite the lock."
    return ""


def main() -> None:
    """Release the ledger, and prove the hold if possible."""
    argument, attempt = "".join(sys.argv[1:2]), os.environ.get("N2W_ATTEMPT", "1")
    if argument not in {"0", "1"}:
        sys.exit("after takes one argument: 1 if before succeeded, else 0.")
    problem = release(settings())
    if problem and argument == "1" and attempt == "1":
        sys.exit(f"{problem} The ledger goes on.")
    proof = problem or "It was held all the time, and nothing was written."
    print(f"The ledger goes on. {proof}")  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
