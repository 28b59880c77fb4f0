"""Whether the pages answer: a web process that has not reported for a minute is killed, and so started again.

The web process asks itself for `/health/live` and reports each good answer (`n2wbackup.processes.notify`); under
systemd, WatchdogSec= does what this module does in `serve`. A busy server reports late, but it reports: no number
of requests makes it silent, because its loop answers `/health/live` itself.
"""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

SILENT_SECONDS = 60.0
START_SECONDS = 180.0
# If we have not looked for so long, we were stopped ourselves, or the machine was asleep.
_UNSEEN_SECONDS = 5.0
_CREDENTIALS = struct.Struct("3i")  # pid, user, group
_MESSAGE_BYTES = 4_096


class Watched(Protocol):
    """A process that reports, and can be killed. No pid: it does not run."""

    @property
    def pid(self) -> int | None: ...

    def kill_hard(self) -> None: ...


class Ear:
    """The socket of the reports; the kernel says who has sent a message."""

    def __init__(self, path: Path) -> None:
        """`path` is in a folder that only we can enter: others could flood the socket, and reports would be lost."""
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(path))
        self._path = path

    def invite(self) -> None:
        """Tell the processes that we start where they report."""
        os.environ["NOTIFY_SOCKET"] = str(self._path)

    def senders(self) -> set[int]:
        """Return the processes that have reported since the last question. Never waits."""
        return set(self._received())

    def close(self) -> None:
        self._socket.close()

    def _received(self) -> Iterator[int]:
        room = socket.CMSG_SPACE(_CREDENTIALS.size)
        with suppress(BlockingIOError):
            while True:
                _, extra, _, _ = self._socket.recvmsg(_MESSAGE_BYTES, room)
                for level, kind, data in extra:
                    if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                        yield _CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0]


class Vigil:
    """Kills one process when it has been silent for too long."""

    def __init__(self, ear: Ear) -> None:
        self._ear = ear
        self._pid: int | None = None
        self._heard_at = self._looked_at = 0.0
        self._allowed = START_SECONDS

    def look(self, watched: Watched, now: float) -> bool:
        """Look at the process; return True if it was killed for its silence. To be called often."""
        unseen, self._looked_at = now - self._looked_at, now
        if unseen > _UNSEEN_SECONDS:
            self._heard_at += unseen
        heard = self._ear.senders()
        if watched.pid != self._pid:
            self._pid, self._heard_at, self._allowed = watched.pid, now, START_SECONDS
        if self._pid in heard:
            self._heard_at, self._allowed = now, SILENT_SECONDS
        if self._pid is None or now - self._heard_at <= self._allowed:
            return False
        # It may be unkillable while its disk is frozen: then the next try comes as late as this one.
        self._heard_at = now
        watched.kill_hard()
        return True
