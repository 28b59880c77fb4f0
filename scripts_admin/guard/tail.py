"""What a script has printed so far, in a file of the run's folder in memory, for whoever watches it.

Never used within a window: only complete, which runs when nothing is frozen, has one. What is written is masked, and
no part of a secret is in it.
"""

import codecs
import os
from contextlib import suppress
from pathlib import Path

from n2wbackup.lib import storable, trust
from n2wbackup.lib.trust import UntrustedError

LIMIT_BYTES = 1024 * 1024


class Tail:
    """Appends to a stream's file. It never fails: what cannot be written is missing there, and in the result later."""

    def __init__(self, folder: Path, phase: str, stream: str) -> None:
        """Create the file anew in the run's folder, which must exist."""
        self._text = codecs.getincrementaldecoder("utf-8")("replace")
        self._left = LIMIT_BYTES
        self._file = -1
        with suppress(OSError), trust.folder(folder) as within:
            with suppress(FileNotFoundError):
                os.unlink(_name(phase, stream), dir_fd=within)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.open(_name(phase, stream), flags, 0o600, dir_fd=within)

    def write(self, masked: bytes) -> None:
        """Append what is certain to hold no secret; the first LIMIT_BYTES of all."""
        if self._file < 0 or not self._left:
            return
        # As it will be in the rows, so that a byte's number means the same there.
        data = storable.text(self._text.decode(masked)).encode()[: self._left]
        self._left -= len(data)
        with suppress(OSError):
            os.write(self._file, data)


def read(folder: Path, phase: str, stream: str) -> bytes:
    """Return what the script has printed so far; nothing if it has no file."""
    with suppress(FileNotFoundError, NotADirectoryError, UntrustedError):
        return _read(folder, _name(phase, stream))
    return b""


def _read(folder: Path, name: str) -> bytes:
    with trust.folder(folder) as within, trust.file(folder / name, within=within) as found:
        descriptor = trust.opened(found)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(LIMIT_BYTES)


def _name(phase: str, stream: str) -> str:
    return f"{phase}.{stream}"
