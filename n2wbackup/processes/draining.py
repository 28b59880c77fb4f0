"""Whether this worker process is on its way out: it finishes what is open and opens nothing new."""

from threading import Event

_asked = Event()


def draining() -> bool:
    """Return True from the moment this process was asked to stop, and for good."""
    return _asked.is_set()


def begin() -> None:
    """Note that this process was asked to stop. Safe in a signal handler, and more than once."""
    _asked.set()
