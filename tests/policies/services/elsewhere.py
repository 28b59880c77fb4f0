"""Another server on the same database: a home of its own, with its own id, spool and folder in memory."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_django import Settings

from n2wbackup.lib import home


@dataclass(frozen=True)
class Elsewhere:
    """The other server. Both use the same script folder."""

    home: Path
    settings: Settings

    @property
    def server(self) -> str:
        """Return its id."""
        return home.server_id_of(self.home)

    @contextmanager
    def here(self) -> Iterator[None]:
        """Be that server inside the block."""
        own = self.settings.N2W_HOME
        self.settings.N2W_HOME = self.home
        try:
            yield
        finally:
            self.settings.N2W_HOME = own

    def spooled(self) -> list[str]:
        """Return the runs that have a folder in its spool."""
        spool = self.home / "spool"
        return sorted(path.name for path in spool.iterdir()) if spool.exists() else []


@contextmanager
def made(path: Path, settings: Settings) -> Iterator[Elsewhere]:
    """Give the other server; its folder in memory ends with the block."""
    path.mkdir()
    try:
        yield Elsewhere(path, settings)
    finally:
        shutil.rmtree(home.runtime_of(path), ignore_errors=True)
