"""Whether this worker process is stopping: it finishes open windows and opens no new ones."""

from threading import Event

# The longest window and its thaw; then the kernel ends the process, which gives its locks back.
END_SECONDS = 920
_asked = Event()


def draining() -> bool:
    """Return True from the moment this process was asked to stop, until it ends."""
    return _asked.is_set()


def begin() -> None:
    """Note that this process was asked to stop. Safe in a signal handler, and more than once."""
    _asked.set()
