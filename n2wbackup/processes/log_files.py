"""Supervisor's logs, written by a thread: their disk may be the frozen one.

The process that restarts dead processes must not wait for that disk, or nobody is left to thaw it. Lines that the
thread cannot write are kept in memory up to a limit; beyond it they are lost.
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
    """One thread that does its jobs in order."""

    def __init__(self) -> None:
        self._jobs = SimpleQueue[tuple[Callable[[], object], int]]()
        self._held = 0
        self._counting = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, job: Callable[[], object], size: int = 0) -> None:
        """Add a job; it is dropped if too much is waiting already. Never waits."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="logs", daemon=True)
            self._thread.start()
        with self._counting:
            if size and self._held + size > _HELD_BYTES:
                return
            self._held += size
        self._jobs.put((job, size))

    def finish(self, seconds: float) -> None:
        """Return when all jobs are done, or after `seconds`."""
        done = threading.Event()
        self.put(done.set)
        done.wait(seconds)

    def _work(self) -> None:
        while True:
            job, size = self._jobs.get()
            with suppress(Exception):  # a log that cannot be written must not end anything
                job()
            with self._counting:
                self._held -= size


_writer = _Writer()


class _Real:
    """A handler that only the thread opens, uses and closes.

    If a full disk left text unwritten, closing the file writes this text, and waits for the disk.
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
    """Passes everything to the handler from `make`, in the thread; the thread also opens that handler."""

    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__()
        self._real = _Real(make)
        weakref.finalize(self, _writer.put, self._real.let_go).atexit = False

    def emit(self, record: loggers.LogRecord) -> None:
        if not isinstance(record.msg, bytes):
            record.asdict()  # with the current time
        self._give(lambda real: real.emit(record), len(record.msg) + 1)

    def reopen(self) -> None:
        self._give(lambda real: real.reopen())

    def remove(self) -> None:
        self._give(lambda real: real.remove())

    def flush(self) -> None:
        """Do nothing: each record is flushed anyway."""

    def close(self) -> None:
        self._give(lambda real: real.close())

    def _give(self, act: Callable[[Any], object], size: int = 0) -> None:
        real, form = self._real, self.fmt
        _writer.put(lambda: act(real.opened(form)), size)


def install() -> None:
    """Make supervisor use these handlers from now on; call this before it reads its options."""
    loggers.RotatingFileHandler = lambda *args: _Later(lambda: _FileHandler(*args))
    loggers.StreamHandler = lambda stream: _Later(lambda: _StreamHandler(stream))


def finish() -> None:
    """Wait a moment for lines that are not written yet, because the process is about to end."""
    _writer.finish(_END_SECONDS)
