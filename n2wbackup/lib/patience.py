"""Answers for pages from parts that may hang: each is asked in a thread of its own, and waited for only briefly."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Patient(Generic[Answer]):
    """One question. Only one thread asks it at a time, so a part that hangs costs one thread and no page."""

    def __init__(self, ask: Callable[[], Answer], *, wait: float, fresh: float) -> None:
        """`wait`: seconds that a page waits at most. `fresh`: seconds for which an answer is given again."""
        self._ask, self._wait, self._fresh = ask, wait, fresh
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._answer: Answer | None = None
        self._asked_at = self._answered_at = float("-inf")

    def answer(self) -> Answer | None:
        """Return the answer, at most `fresh` seconds old; None if there is none in time."""
        with self._lock:
            now = time.monotonic()
            if now - self._answered_at < self._fresh:
                return self._answer
            waits = now - self._asked_at < self._wait
            if self._thread is None or not self._thread.is_alive():
                self._asked_at, waits = now, True
                self._thread = threading.Thread(target=self._run, daemon=True, name="patience")
                self._thread.start()
            thread = self._thread
        if waits:
            thread.join(self._wait)
        with self._lock:
            is_fresh = time.monotonic() - self._answered_at < self._fresh + self._wait
            return self._answer if is_fresh else None

    def _run(self) -> None:
        answer = self._ask()
        with self._lock:
            self._answer, self._answered_at = answer, time.monotonic()
