"""A small application that obeys a maintenance file, and the generic recipe around it."""

import itertools
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from tests.ground import processes, recipes

LEDGER = "ledger"
Install = Callable[..., recipes.Recipe]  # settings in, an installed recipe out


@dataclass(frozen=True)
class Write:
    """A line that has been written, and when (aware, UTC)."""

    number: int
    at: datetime


class Application:
    """Appends numbered lines to a ledger in `data`, without any sync, until its block ends.

    It checks for the maintenance file before each line. While that file exists, it keeps its own file in
    place and writes nothing. It continues an existing ledger, and refuses a damaged one.
    """

    def __init__(self, data: Path, run: Path, *, per_second: float = 500) -> None:
        self.data, self.ledger = data, data / LEDGER
        self.maintenance, self.stopped = run / "maintenance", run / "stopped"
        self.is_deaf = False
        self.writes: list[Write] = []
        self._pause_seconds = 1 / per_second
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, name="application", daemon=True)

    def __enter__(self) -> Self:
        for folder in (self.data, self.maintenance.parent):
            folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        self.wait_for(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)

    @property
    def last(self) -> int:
        """The last number written."""
        return self.writes[-1].number

    @property
    def is_ordered_to_stop(self) -> bool:
        """Whether somebody has frozen it, or is going to."""
        return self.maintenance.exists()

    def between(self, start: datetime, end: datetime) -> list[Write]:
        """Return the lines written between the two times."""
        return [write for write in self.writes if start <= write.at <= end]

    def wait_for(self, writes: int, *, seconds: float = 20) -> None:
        """Return once this many more lines are written; TimeoutError if they are not."""
        goal = len(self.writes) + writes
        processes.wait_until(
            lambda: len(self.writes) >= goal, seconds=seconds, what=f"{writes} more lines"
        )

    def _write(self) -> None:
        first = last_number(self.ledger) + 1
        with self.ledger.open("a", buffering=1) as ledger:
            for number in itertools.count(first):
                self._wait_while_stopped()
                if self._ended.is_set():
                    return
                ledger.write(f"{number}\n")
                self.writes.append(Write(number, datetime.now(UTC)))
                time.sleep(self._pause_seconds)

    def _wait_while_stopped(self) -> None:
        while self.maintenance.exists() and not self.is_deaf and not self._ended.is_set():
            self.stopped.touch()
            time.sleep(0.005)
        self.stopped.unlink(missing_ok=True)


def last_number(ledger: Path) -> int:
    """The last number of a ledger, 0 if there is none; ValueError unless it has all numbers from 1 on."""
    lines = ledger.read_text().split("\n") if ledger.exists() else [""]
    if lines != [*map(str, range(1, len(lines))), ""]:
        raise ValueError(f"{ledger} is damaged")
    return len(lines) - 1


def install(
    folder: Path,
    application: Application,
    *,
    settings: recipes.Settings | None = None,
    policy: str = "MyPolicy",
) -> recipes.Recipe:
    """Install the generic recipe, as delivered, in `folder`, which is created."""
    name = folder.name
    shutil.copytree(recipes.RECIPES / "generic", folder)
    for script in folder.glob("*_MyPolicy.sh"):
        script.rename(script.with_name(script.name.replace("MyPolicy", policy)))
    places: recipes.Settings = {
        "application": name,
        "maintenance_file": application.maintenance,
        "stopped_file": application.stopped,
        "data_folder": application.data,
    }
    recipes._set(folder / "application.conf", {**places, **(settings or {})})
    return recipes.Recipe(folder, policy, Path(f"/dev/shm/n2w-generic-{_user()}/{name}"))


def _user() -> int:
    return Path("/proc/self").stat().st_uid


def replace_hook(recipe: recipes.Recipe, name: str, body: str) -> None:
    """Replace one of the recipe's hooks."""
    with (recipe.folder / "application.sh").open("a") as hooks:
        hooks.write(f"{name}() {{ {body}; }}\n")
