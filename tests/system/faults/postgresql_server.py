"""A PostgreSQL that goes away and comes back with the same data and the same address."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.ground import postgresql, processes


class Server:
    """One cluster; `url` stays the same while it is stopped and started."""

    def __init__(self, data: Path) -> None:
        """Start it."""
        self._data, self._port = data, processes.free_port()
        self._running = contextlib.ExitStack()
        self.url = self.start()

    def start(self) -> str:
        """Start it again; return its address."""
        cluster = postgresql.running(data=self._data, port=self._port)
        return self._running.enter_context(cluster).url()

    def stop(self) -> None:
        """Stop it; whoever is connected is thrown out. Harmless when it is stopped."""
        self._running.close()


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Run a cluster of its own until the block ends."""
    with processes.folder() as folder:
        server = Server(folder / "data")
        try:
            yield server
        finally:
            server.stop()
