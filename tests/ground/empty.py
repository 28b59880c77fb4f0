"""A database as `migrate` leaves it. It takes ten seconds of the processor, so it is made once and copied.

Whoever needs the first one makes it, for all processes of the run and for later runs of the same code.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.ground import processes

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / ".pytest_cache" / "empty-databases"
SECONDS = 600.0  # a machine with much other work takes its time


def put(path: Path) -> None:
    """Write an empty SQLite database there, readable for this account alone."""
    path.touch(mode=0o600)
    path.write_bytes(content())


def furnish(home: Path) -> None:
    """Give a server's home its database, as its first command `migrate` does."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    put(home / "db.sqlite3")


@cache
def content() -> bytes:
    PLACE.mkdir(parents=True, exist_ok=True)
    made = PLACE / f"{state_of_the_code()}.sqlite3"
    with (PLACE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            for old in PLACE.glob("*.sqlite3"):
                old.unlink()
            _make(made)
    return made.read_bytes()


def state_of_the_code() -> str:
    """Return a name that changes with the code and with the libraries."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(_files()):
        digest.update(b"\0".join((str(path).encode(), path.read_bytes(), b"")))
    return digest.hexdigest()[:32]


def _files() -> Iterator[Path]:
    yield from ROOT.glob("requirements*.txt")
    for room in ("n2wbackup", "policies", "scripts_admin"):
        yield from (ROOT / room).rglob("*.py")


def _make(path: Path) -> None:
    with processes.folder() as folder:
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "DJANGO_SETTINGS_MODULE": "n2wbackup.settings",
                "N2W_HOME": str(folder / "home"),
                "N2W_RUN_SCRIPTS_AS": "self",
            },
            timeout=SECONDS,
            check=True,
        )
        half = path.with_suffix(".half")
        shutil.copy(folder / "home" / "db.sqlite3", half)
        half.rename(path)  # whoever is killed in between leaves no half of it behind
