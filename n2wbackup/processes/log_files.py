"""Supervisor's logs, written by a thread: the disk that they lie on may be the frozen one.

Who starts again what died must not wait for that disk, or nobody is left to thaw it. What the thread cannot write
is kept in memory up to a limit, and past it lost.
"""

import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from supervisor import loggers

__all__ = ["finish", "install"]

_HELD_BYTES = 16_000_000
_END_SECONDS = 2.0
_FileHandler, _StreamHandler = loggers.RotatingFileHandler, loggers.StreamHandler


class _Writer:
    """One thread that does what it is given, in order."""

    def __init__(self) -> None:
        self._jobs = SimpleQueue[tuple[Callable[[], object], int]]()
        self._held = 0
        self._counting = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, job: Callable[[], object], size: int = 0) -> None:
        """Have the job done soon; lost where too much waits already. Never waits."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="logs", daemon=True)
            self._thread.start()
        with self._counting:
            if size and self._held + size > _HELD_BYTES:
                return
            self._held += size
        self._jobs.put((job, size))

    def finish(self, seconds: float) -> None:
        """Return when all that was given is done, or after so long."""
        done = threading.Event()
        self.put(done.set)
        done.wait(seconds)

    def _work(self) -> None:
        while True:
            job, size = self._jobs.get()
            with suppress(Exception):  # a log that cannot be written is nobody's end
                job()
            with self._counting:
                self._held -= size


_writer = _Writer()


class _Real:
    """A handler that only the thread ever opens, uses and lets go.

    Whoever frees a file that could not be written, as its disk was full, writes what is left, and waits for the disk.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._handler: Any = None

    def opened(self, form: str) -> Any:  # noqa: ANN401 - supervisor has no annotations
        if self._handler is None:
            self._handler = self._make()
            self._handler.setFormat(form)
        return self._handler

    def let_go(self) -> None:
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.close()


class _Later(loggers.Handler):  # type: ignore[misc] # supervisor has no annotations
    """Does in the thread what the handler would do that `make` returns, its opening included."""

    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__()
        self._real = _Real(make)
        weakref.finalize(self, _writer.put, self._real.let_go).atexit = False

    def emit(self, record: loggers.LogRecord) -> None:
        if not isinstance(record.msg, bytes):
            record.asdict()  # with the time of now
        self._give(lambda real: real.emit(record), len(record.msg) + 1)

    def reopen(self) -> None:
        self._give(lambda real: real.reopen())

    def remove(self) -> None:
        self._give(lambda real: real.remove())

    def flush(self) -> None:
        """Do nothing: each record is flushed."""

    def close(self) -> None:
        self._give(lambda real: real.close())

    def _give(self, act: Callable[[Any], object], size: int = 0) -> None:
        real, form = self._real, self.fmt
        _writer.put(lambda: act(real.opened(form)), size)


def install() -> None:
    """Have supervisor make such handlers from now on; call it before its options are read."""
    loggers.RotatingFileHandler = lambda *args: _Later(lambda: _FileHandler(*args))
    loggers.StreamHandler = lambda stream: _Later(lambda: _StreamHandler(stream))


def finish() -> None:
    """Wait a moment for what is not written yet, as the process is about to end."""
    _writer.finish(_END_SECONDS)
