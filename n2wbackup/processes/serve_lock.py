"""One server per `N2W_HOME`: the kernel's lock on `serve.lock` says so, never the file's content.

The lock lives as long as the process that holds it, and falls when that process dies, however it
dies. The file names the holder's pid only so that `drain` knows whom to ask.
"""

import contextlib
import fcntl
import os
from pathlib import Path


def acquire(path: Path) -> int | None:
    """Take the lock and return its descriptor, which must stay open; None when it is held."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    # A pid that an earlier holder left must not be taken for ours.
    os.ftruncate(descriptor, 0)
    return descriptor


def sign(descriptor: int) -> None:
    """Write our pid into the locked file."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def held(path: Path) -> bool:
    """Return whether some process holds the lock now."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who ask at once do not take each other for a server.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def holder(path: Path) -> int | None:
    """Return the pid that the holder signed with; None when nobody holds it or has not signed."""
    if not held(path):
        return None
    with contextlib.suppress(ValueError, FileNotFoundError):
        return int(path.read_text(encoding="utf-8"))
    return None
