"""Files that are written once and never changed: secrets, the server's id."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from n2wbackup.lib import trust


def text(path: Path, make: Callable[[], str], *, secret: bool = False) -> str:
    """Return the content of `path`; if it does not exist, write `make()` into it first.

    The file gets mode 600 and is on disk when this returns. If several processes race, one of them wins
    and all return its text: the file appears only with its whole content. Raises OSError, and ValueError if the
    file is empty (somebody else broke it: nothing is overwritten). UntrustedError if it is no regular file; for
    a `secret` also if it is somebody else's, and ExposedError if others can read it.
    """
    if not path.exists():
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            give(path.parent, path.parent.parent)
        _write(path, make())
    read = trust.text(path, private=trust.PRIVATE) if secret else trust.text_of_anybody(path)
    found = read.strip()
    if not found:
        raise ValueError(
            f"{path} is empty: restore it from a backup, or remove it so that a new one is created."
        )
    return found


def give(made: Path | int, above: Path) -> None:
    """Let what root makes belong to the owner of the folder above: a server that is another account must read it."""
    owner = above.stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        os.chown(made, owner, -1)


def _write(path: Path, content: str) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content + "\n")
            file.flush()
            give(file.fileno(), path.parent)
            os.fsync(file.fileno())
        # A link, not a rename: it fails if another process was first.
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
