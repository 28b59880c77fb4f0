"""How the demo ends when it is told to: once, in order, and whatever is said meanwhile."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_AGAIN_SECONDS = 0.01
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """Somebody wants the demo to end: Ctrl-C, a signal, the terminal that was closed."""

    def __init__(self, number: int) -> None:
        """Keep the signal's number."""
        super().__init__(number)
        self.exit_code = 128 + number


class Ending:
    """Turns the first signal into `Ended`, in the main thread; all further ones are ignored."""

    def __init__(self) -> None:
        """Listen from now on."""
        self._deferred = False
        self._asked = 0
        self._told = sys.unraisablehook
        sys.unraisablehook = self._on_swallowed
        signal.signal(signal.SIGALRM, self._on_alarm)
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: object) -> None:
        self.ignore()
        self._asked = number
        if not self._deferred:
            raise Ended(number)

    def _on_swallowed(self, swallowed: "sys.UnraisableHookArgs") -> None:
        """Raise `Ended` again, a moment later, where Python has dropped it: it came in a finalizer."""
        if isinstance(swallowed.exc_value, Ended):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
        else:
            self._told(swallowed)

    def _on_alarm(self, _number: int, _frame: object) -> None:
        raise Ended(self._asked)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let a block run to its end; what was started in it is on record before `Ended` comes."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self._asked:
            raise Ended(self._asked)

    @staticmethod
    def ignore() -> None:
        """Listen no more: what is being ended is ended in order."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
