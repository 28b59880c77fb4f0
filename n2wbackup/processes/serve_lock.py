"""One server per `N2W_HOME`: the kernel's lock on `serve.lock` decides, never the file's content.

The kernel frees the lock when the process that holds it dies, in whatever way. A supervisor holds it
alone, and writes its pid into the file so that `drain` knows which process to stop. Programs that a
service manager runs one by one share the lock: no supervisor can start beside them, and none of them is
the server. UntrustedError if the file is somebody else's, who could hold it or name any process.
"""

import contextlib
import fcntl
import os
import time
from pathlib import Path

from n2wbackup.lib import trust

# A process that only checks holds the lock for microseconds; it must not be taken for a server.
_ASKED_SECONDS = 0.2
_LOOK_SECONDS = 0.01


def acquire(path: Path) -> int | None:
    """Take the lock alone and return its descriptor, which must stay open; None if the lock is held."""
    descriptor = _taken(path, fcntl.LOCK_EX)
    if descriptor is None:
        return None
    # A pid that an earlier holder left must not be taken for ours.
    os.ftruncate(descriptor, 0)
    return descriptor


def share(path: Path) -> int | None:
    """As `acquire`, but shared with others; None if one process holds it alone."""
    return _taken(path, fcntl.LOCK_SH)


def sign(descriptor: int) -> None:
    """Write our pid into the locked file."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def held(path: Path) -> bool:
    """Return whether a process holds the lock alone now."""
    try:
        descriptor = _opened(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two checks at the same time do not take each other for a server.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def shared(path: Path) -> bool:
    """Return whether a process holds the lock shared now."""
    if not path.exists() or held(path):
        return False
    alone = _taken(path, fcntl.LOCK_EX)
    if alone is None:
        return True
    os.close(alone)
    return False


def holder(path: Path) -> int | None:
    """Return the pid that the holder has signed; None if nobody holds the lock, or the holder has not signed."""
    if not held(path):
        return None
    with contextlib.suppress(ValueError, FileNotFoundError):
        return int(trust.text(path))
    return None


def _taken(path: Path, kind: int) -> int | None:
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    descriptor = _opened(path, os.O_RDWR)
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


def _opened(path: Path, flags: int) -> int:
    with trust.file(path) as found:
        return trust.opened(found, flags)
