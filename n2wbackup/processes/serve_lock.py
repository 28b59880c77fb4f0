"""One server per `N2W_HOME`: the kernel's lock on `serve.lock` says so, never the file's content.

The lock lives as long as the process that holds it, and falls when that process dies, however it
dies. A supervisor holds it alone, and signs with its pid so that `drain` knows whom to ask. Programs
that a service manager runs one by one share it: they keep a supervisor away, and no one of them is
the server.
"""

import contextlib
import fcntl
import os
import time
from pathlib import Path

# Who only asks holds the lock for microseconds, which must not be taken for a server.
_ASKED_SECONDS = 0.2
_LOOK_SECONDS = 0.01


def acquire(path: Path) -> int | None:
    """Take the lock alone and return its descriptor, which must stay open; None when it is held."""
    descriptor = _taken(path, fcntl.LOCK_EX)
    if descriptor is None:
        return None
    # A pid that an earlier holder left must not be taken for ours.
    os.ftruncate(descriptor, 0)
    return descriptor


def share(path: Path) -> int | None:
    """As `acquire`, together with others who share it; None when one holds it alone."""
    return _taken(path, fcntl.LOCK_SH)


def sign(descriptor: int) -> None:
    """Write our pid into the locked file."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def held(path: Path) -> bool:
    """Return whether some process holds the lock alone now."""
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


def shared(path: Path) -> bool:
    """Return whether some process has a share in the lock now."""
    if not path.exists() or held(path):
        return False
    alone = _taken(path, fcntl.LOCK_EX)
    if alone is None:
        return True
    os.close(alone)
    return False


def holder(path: Path) -> int | None:
    """Return the pid that the holder signed with; None when nobody holds it or has not signed."""
    if not held(path):
        return None
    with contextlib.suppress(ValueError, FileNotFoundError):
        return int(path.read_text(encoding="utf-8"))
    return None


def _taken(path: Path, kind: int) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + _ASKED_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                os.close(descriptor)
                return None
            time.sleep(_LOOK_SECONDS)
        else:
            return descriptor
