"""Services that the server needs but does not start: they stop and start again at the same address."""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from tests.ground import postgresql, processes, valkey


class Outside:
    """A program that can be stopped and started; `url` stays the same."""

    def __init__(self, run: Callable[[], AbstractContextManager[str]]) -> None:
        """Start it."""
        self._run, self._running = run, contextlib.ExitStack()
        self.url = self.start()

    def start(self) -> str:
        """Start it again; return its address."""
        return self._running.enter_context(self._run())

    def stop(self) -> None:
        """Stop it; whoever is connected is thrown out. Harmless when it is stopped."""
        self._running.close()

    def away(self, seconds: float) -> None:
        """Start it again after so many seconds."""
        time.sleep(seconds)
        self.start()


@contextlib.contextmanager
def database() -> Iterator[Outside]:
    """Run a PostgreSQL until the block ends."""
    with processes.folder() as folder:
        port = processes.free_port()

        @contextlib.contextmanager
        def run() -> Iterator[str]:
            with postgresql.running(data=folder / "data", port=port) as cluster:
                yield cluster.url()

        with _stopped_at_last(Outside(run)) as found:
            yield found


@contextlib.contextmanager
def broker() -> Iterator[Outside]:
    """Run a Valkey, which forgets everything when it is stopped, until the block ends."""
    with processes.folder() as folder:

        @contextlib.contextmanager
        def run() -> Iterator[str]:
            with valkey.running(folder) as server:
                yield f"redis+socket://{server.socket}"

        with _stopped_at_last(Outside(run)) as found:
            yield found


@contextlib.contextmanager
def _stopped_at_last(found: Outside) -> Iterator[Outside]:
    try:
        yield found
    finally:
        found.stop()
