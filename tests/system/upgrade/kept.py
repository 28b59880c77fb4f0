"""What a release left on disk, and how it is laid out for the code of today."""

import contextlib
import json
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ground import components

DATABASES = ["sqlite", "postgresql"]
PHASES = ("before", "after", "complete")
# Of an AWS account that only the simulated AWS of a test knows.
KEY_ID = "AKIAFIXTUREOFAUPGRADE"
SECRET = "this secret of a fixture opens nothing"


def words(
    home: Path, server: str, run: str, instance: str, volumes: tuple[str, ...]
) -> dict[str, str]:
    """Return what stands in the place of each placeholder; `run` is the one whose window is open."""
    found = {
        "@HOME@": str(home),
        "@SERVER@": server,
        "@RUN@": run,
        "@RUN_HEX@": run.replace("-", ""),  # as SQLite has it
        "@INSTANCE@": instance,
    }
    numbered = enumerate(sorted(volumes), start=1)
    return found | {f"@VOLUME_{number}@": volume for number, volume in numbered}


@dataclass(frozen=True)
class Kept:
    """One kept server: `database` is sqlite or postgresql."""

    database: str

    @property
    def folder(self) -> Path:
        """Return where it is kept."""
        return Path(__file__).parent / "fixture" / self.database

    @property
    def dump(self) -> Path:
        """Return the file of its rows, as SQL."""
        return self.folder / "rows.sql"

    @property
    def open_window(self) -> Path:
        """Return the folder in the spool of the run whose application is frozen."""
        return self.folder / "home" / "spool" / "RUN"

    def shown(self, fill: Mapping[str, str]) -> dict[str, Any]:
        """Return what the release's own commands said of it."""
        found: dict[str, Any] = json.loads(_filled(self.folder / "shown.json", fill))
        return found

    def lay_out(self, home: Path, fill: Mapping[str, str]) -> None:
        """Put the files where the release had them."""
        shutil.copytree(self.folder / "home", home)
        for path in home.rglob("*"):
            if path.is_file():
                path.write_text(_filled(path, fill))
        spool = home / "spool"
        window = (spool / self.open_window.name).rename(spool / fill["@RUN@"])
        # As the release made them; a checkout knows no more than what may be executed.
        for path in (home, spool, window):
            path.chmod(0o711)
        for path in window.iterdir():
            path.chmod(0o500 if path.name in PHASES else 0o600)
        for path in (home / "server-id", *(home / "secrets").iterdir()):
            path.chmod(0o600)

    def load(self, home: Path, url: str, fill: Mapping[str, str]) -> None:
        """Put the rows into the empty database."""
        text = _filled(self.dump, fill)
        if self.database == "sqlite":
            with contextlib.closing(sqlite3.connect(home / "db.sqlite3")) as database:
                # A check of a column asks for it; Django brings its own.
                database.create_function(
                    "regexp", 2, lambda wanted, word: bool(re.search(wanted, word))
                )
                database.executescript(text)
            return
        psql = [str(components.program("psql")), "-Xq", "-v", "ON_ERROR_STOP=1", url]
        subprocess.run(psql, input=text, check=True, capture_output=True, text=True)


def _filled(path: Path, fill: Mapping[str, str]) -> str:
    text = path.read_text()
    for placeholder, word in fill.items():
        text = text.replace(placeholder, word)
    return text
