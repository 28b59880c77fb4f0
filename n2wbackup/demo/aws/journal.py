"""Every API call, in the order of its end."""

import itertools
import threading
from collections import deque
from dataclasses import replace

from n2wbackup.demo.aws.records import Call

KEPT = 100_000


class Journal:
    """The last calls; the oldest are forgotten beyond `KEPT`."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._calls: deque[Call] = deque(maxlen=KEPT)
        self._serving: dict[int, Call] = {}
        self._numbers = itertools.count()

    def begin(self, call: Call) -> int:
        """Enter a call that has come; return its number for `end`."""
        with self._lock:
            number = next(self._numbers)
            self._serving[number] = call
        return number

    def end(self, number: int, outcome: str, service_seconds: float) -> None:
        """Say what became of a call; one that was forgotten meanwhile stays so."""
        with self._lock:
            call = self._serving.pop(number, None)
            if call is not None:
                self._calls.append(replace(call, outcome=outcome, service_seconds=service_seconds))

    def calls(self, action: str = "") -> list[Call]:
        """Return the calls (of one action), oldest first."""
        with self._lock:
            found = [*self._calls, *self._serving.values()]
        return [each for each in found if not action or each.action == action]

    def clear(self) -> None:
        """Forget every call."""
        with self._lock:
            self._calls.clear()
            self._serving.clear()
