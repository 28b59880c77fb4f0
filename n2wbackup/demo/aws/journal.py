"""All API calls, in the order of their ends."""

import itertools
import threading
from collections import deque
from dataclasses import replace

from n2wbackup.demo.aws.records import Call

KEPT = 100_000


class Journal:
    """The last `KEPT` calls; older ones are forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: deque[Call] = deque(maxlen=KEPT)
        self._serving: dict[int, Call] = {}
        self._numbers = itertools.count()

    def begin(self, call: Call) -> int:
        """Add a call that has arrived; return its number for `end`."""
        with self._lock:
            number = next(self._numbers)
            self._serving[number] = call
        return number

    def end(self, number: int, outcome: str, service_seconds: float) -> None:
        """Record the outcome of a call; does nothing if `clear` has removed the call meanwhile."""
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
        with self._lock:
            self._calls.clear()
            self._serving.clear()
