"""One poller for one account and region: a thread that asks SSM, and a descriptor that tells of news.

A carrier waits for many descriptors in one loop, and calls of AWS block: so they are made beside it.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from scripts_admin.runners.ssm import Event, Fleet, batches

_IDLE_SECONDS = 60.0


class Line:
    """The instances of a fleet, asked for news by one thread. `arm` and `thaw` return at once.

    A thaw waits for no other call: neither for a look that hangs nor for an arm. `fileno` is readable while `take`
    has something to give.
    """

    def __init__(self, fleet: Fleet) -> None:
        """Start the thread; it ends by `close`, or with the process."""
        self._fleet = fleet
        self._events: deque[Event] = deque()
        self._readable = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._thread = self._start(self._look_out)

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._readable

    def take(self) -> list[Event]:
        """Return the news, oldest first; never waits."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._readable)
        news = []
        while self._events:
            news.append(self._events.popleft())
        return news

    def arm(self, scripts: Mapping[str, str]) -> None:
        """Send each instance its A, all batches at the same time."""
        self._send_each(self._fleet.arm, scripts)

    def thaw(self, scripts: Mapping[str, str]) -> None:
        """Send each instance its B, all batches at the same time."""
        self._send_each(self._fleet.thaw, scripts)

    def close(self) -> None:
        """End the thread; what was sent goes on, and nobody hears of it."""
        with self._lock:
            self._closed.set()
            os.close(self._readable)
        self._changed.set()
        self._thread.join(1)

    def _send_each(
        self, send: Callable[[Mapping[str, str]], None], scripts: Mapping[str, str]
    ) -> None:
        for instances, text in batches(scripts):
            self._start(partial(self._send, send, dict.fromkeys(instances, text)))

    def _send(self, send: Callable[[Mapping[str, str]], None], scripts: Mapping[str, str]) -> None:
        send(scripts)
        self._changed.set()

    def _look_out(self) -> None:
        while not self._closed.is_set():
            pause = self._fleet.pause()
            if self._changed.wait(_IDLE_SECONDS if pause is None else pause):
                self._changed.clear()  # what was sent meanwhile has a pause of its own
                continue
            news = self._fleet.look()
            with self._lock:  # a closed descriptor's number may be another file's
                if news and not self._closed.is_set():
                    self._events.extend(news)
                    os.eventfd_write(self._readable, 1)

    @staticmethod
    def _start(act: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=act, name="ssm", daemon=True)
        thread.start()
        return thread
