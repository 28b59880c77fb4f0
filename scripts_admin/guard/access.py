"""What an account may do with a file, asked of the kernel by a process that is this account.

Modes, ACLs, the folders on the way and the mount are the kernel's business: nobody here works them out. The
process is forked from the guards' parent, so it has no secret of the server in it and no thread.
"""

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from multiprocessing.connection import Connection
from pathlib import Path

from scripts_admin.guard.forked import become
from scripts_admin.guard.spool import RunAs


class Right(Enum):
    """What to ask for."""

    READ = "read"
    EXECUTE = "execute"
    ENTER = "enter"  # a folder


_KINDS = {Right.EXECUTE: stat.S_ISREG, Right.ENTER: stat.S_ISDIR}


@dataclass(frozen=True, slots=True)
class Answer:
    """0, or the errno that using the file like this would give, and why where that is known."""

    error: int
    closed: bytes = b""  # the first folder on the way that the account may not enter
    noexec: bool = False  # the file system is mounted noexec


Question = tuple[bytes, Right]


def serve(pipe: Connection, identity: RunAs) -> None:
    """Answer lists of questions as `identity` until the pipe closes: the entry point of the process."""
    become(identity)
    with suppress(EOFError, OSError):
        while True:
            questions: Sequence[Question] = pipe.recv()
            pipe.send([answer(path, right) for path, right in questions])


def answer(path: bytes, right: Right) -> Answer:
    """Ask the kernel for this very process."""
    try:
        status = os.stat(path)  # noqa: PTH116 - bytes
    except OSError as problem:
        code = problem.errno or errno.EIO
        return Answer(code, _closed(path) if code == errno.EACCES else b"")
    except ValueError:  # a NUL in it: no file has such a name
        return Answer(errno.ENOENT)
    if right in _KINDS and not _KINDS[right](status.st_mode):
        return Answer(errno.EACCES if right == Right.EXECUTE else errno.ENOTDIR)
    if os.access(path, os.R_OK if right == Right.READ else os.X_OK, effective_ids=True):
        return Answer(0)
    noexec = right == Right.EXECUTE and bool(os.statvfs(path).f_flag & os.ST_NOEXEC)
    return Answer(errno.EACCES, noexec=noexec)


def _closed(path: bytes) -> bytes:
    """Return the first folder, from the top, that cannot be entered; links on the way count with their targets."""
    for way in (path, os.path.realpath(path)):
        for place in reversed(Path(os.fsdecode(way)).parents):
            if not os.access(place, os.X_OK, effective_ids=True):
                return os.fsencode(place)
    return b""
