"""Which proofs of this server live: a lock of the kernel's that its worker holds, never a clock."""

import fcntl
import os
from pathlib import Path
from uuid import UUID

from n2wbackup.lib import home


def hold(proof: UUID) -> int | None:
    """Take the proof's lock, and return what holds it until it is let go; None if somebody has it."""
    held = os.open(_place(proof), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        return None
    return held


def let_go(proof: UUID, held: int) -> None:
    """Give the lock back; its file goes."""
    _place(proof).unlink(missing_ok=True)
    os.close(held)


def _place(proof: UUID) -> Path:
    folder = home.runtime() / "proofs"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{proof}.lock"
