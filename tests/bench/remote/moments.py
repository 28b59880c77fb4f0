"""Moments on one clock: scripts tell through a pipe that they begin, processes and connections that they have ended."""

import os
import selectors
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PATIENCE_SECONDS = 60.0  # far more than anything takes: after that, something hangs
Take = Callable[[float], None]


class Begun:
    """The moments at which scripts have begun: the first statement of each writes its name into a pipe."""

    def __init__(self, path: Path) -> None:
        """Make the pipe; it lies in memory."""
        os.mkfifo(path)
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self.at: dict[str, float] = {}

    def fileno(self) -> int:
        return self._descriptor

    def script(self, name: str) -> bytes:
        """Return a script of /bin/sh with one statement; opening the pipe waits for nobody."""
        return f"#!/bin/sh\necho {name} > {self._path}\n".encode()

    def write(self, folder: Path, name: str) -> Path:
        """Write the script into a folder, and return its path."""
        path = folder / f"{name}.sh"
        path.write_bytes(self.script(name))
        path.chmod(0o755)
        return path

    def take(self, now: float) -> None:
        """Note who has begun, for a `listen`."""
        for name in os.read(self._descriptor, 65536).decode().split():
            self.at.setdefault(name, now)

    def forget(self) -> None:
        self.at.clear()

    def close(self) -> None:
        os.close(self._descriptor)


def listen(sources: Mapping[int, Take], until: Callable[[], object]) -> None:
    """Hand each source the moment at which its descriptor had something to read, until that holds."""
    end = time.monotonic() + PATIENCE_SECONDS
    with selectors.DefaultSelector() as selector:
        for descriptor, take in sources.items():
            selector.register(descriptor, selectors.EVENT_READ, take)
        while not until():
            ready = selector.select(max(0.0, end - time.monotonic()))
            now = time.monotonic()
            if not ready:
                raise TimeoutError("Something that the bench waits for did not come.")
            for key, _ in ready:
                key.data(now)


@contextmanager
def begun() -> Iterator[Begun]:
    """Yield a pipe in memory for the block."""
    folder = Path("/dev/shm") / f"n2w-bench-{os.getpid()}-{time.monotonic_ns()}"
    folder.mkdir(mode=0o700)
    made = Begun(folder / "begun")
    try:
        yield made
    finally:
        made.close()
        (folder / "begun").unlink()
        folder.rmdir()
