"""What an account may do with a file, asked of the kernel by a process that is this account.

The server's `scripts_admin/guard/access.py` answers the same for a server that is root; a test compares them.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
from pathlib import Path

from n2wbackup_run import accounts

MOST_BYTES = 128 * 1024
_KINDS = {"execute": stat.S_ISREG, "enter": stat.S_ISDIR}


def serve(control: socket.socket, name: str, uid: object) -> None:
    """Become the account, and answer lists of questions until the socket closes."""
    _, entry = accounts.of(name, uid)
    accounts.become(entry, accounts.groups_of(entry))
    control.send(b'{"said": "ready"}')
    while True:
        text = control.recv(MOST_BYTES)
        if not text:
            return
        asked = json.loads(text)["questions"]
        found = [answer(os.fsencode(path), right) for path, right in asked]
        control.send(json.dumps({"said": "answers", "answers": found}).encode())


def answer(path: bytes, right: str) -> tuple[int, str, bool]:
    """Return an errno or 0, the first closed folder on the way, and whether the file system is mounted noexec."""
    try:
        status = os.stat(path)  # noqa: PTH116 - bytes
    except OSError as problem:
        code = problem.errno or errno.EIO
        return code, _closed(path) if code == errno.EACCES else "", False
    except ValueError:  # a NUL in it: no file has such a name
        return errno.ENOENT, "", False
    if right in _KINDS and not _KINDS[right](status.st_mode):
        return (errno.EACCES if right == "execute" else errno.ENOTDIR), "", False
    if os.access(path, os.R_OK if right == "read" else os.X_OK, effective_ids=True):
        return 0, "", False
    noexec = right == "execute" and bool(os.statvfs(path).f_flag & os.ST_NOEXEC)
    return errno.EACCES, "", noexec


def _closed(path: bytes) -> str:
    for way in (path, os.path.realpath(path)):
        for place in reversed(Path(os.fsdecode(way)).parents):
            if not os.access(place, os.X_OK, effective_ids=True):
                return str(place)
    return ""
