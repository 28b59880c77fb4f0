"""How the demo ends on a signal: once, in order, and without interruption by further signals."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_AGAIN_SECONDS = 0.01
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """Somebody wants the demo to end: Ctrl-C, a signal, a closed terminal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


class Ending:
    """Turns the first signal into `Ended`, in the main thread; all later signals are ignored."""

    def __init__(self) -> None:
        """Install the signal handlers."""
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
        """Raise `Ended` again, a moment later, if it came in a finalizer: there Python has dropped it."""
        if isinstance(swallowed.exc_value, Ended):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
        else:
            self._told(swallowed)

    def _on_alarm(self, _number: int, _frame: object) -> None:
        raise Ended(self._asked)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let a block run to its end; `Ended` comes only after everything that it started is recorded."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self._asked:
            raise Ended(self._asked)

    @staticmethod
    def ignore() -> None:
        """Ignore signals from now on, so that the end is not interrupted."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
