"""What a file of a script folder holds, with marks that tell later whether it has been changed since.

It is opened as a run opens it (`storage.open_inside`): a link within the folder counts. Pages open with `looking`,
which follows none. Either looks first and opens the very file that it looked at, by `trust.opened`.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from scripts_admin.domain import names, texts
from scripts_admin.domain.texts import Kind
from scripts_admin.folders import storage
from scripts_admin.guard.mark import Mark
from scripts_admin.models import Folder

# A look at a folder takes at most so many files: what a phase can be comes first.
MOST_FILES = 2000
_TRIES = 3
# Two changes within one tick of the kernel's clock leave the same times; no kernel ticks more slowly.
_TICK_NS = 20_000_000
_READ_BYTES = 1024 * 1024


class Seen(NamedTuple):
    """A file as it was read. `content` is None unless it may be kept; `mark` is None if the file was being changed."""

    name: str
    sha256: str
    size: int
    mode: int
    uid: int
    kind: Kind
    content: bytes | None
    mark: Mark | None


_hashes: dict[str, tuple[Mark, str]] = {}  # by path: nobody reads a file twice that did not change
_MOST_HASHES = 20_000


def see(folder: Folder, script: Path) -> Seen:
    """Read a file; OSError if it cannot be taken as a script. It is read again if it changes meanwhile."""
    for _ in range(_TRIES - 1):
        found = _see(folder, script)
        if found.mark is not None:
            return found
    return _see(folder, script)


def sha256(folder: Folder, script: Path) -> str:
    """Return the hash of a file, which is read only if it has changed since the last call; OSError as `see`."""
    known = _hashes.get(str(script))
    if known is not None and known[0] == Mark.of(script.stat()):
        return known[1]
    found = see(folder, script)
    if found.mark is not None:
        if len(_hashes) >= _MOST_HASHES:
            _hashes.clear()
        _hashes[str(script)] = (found.mark, found.sha256)
    return found.sha256


def worth_looking(folder: Folder) -> list[str]:
    """Return the names of the files whose versions are kept; OSError if the folder cannot be read.

    They are sorted, those that can be a script of a phase first.
    """
    place = storage.path(folder)
    found = [n for n in storage.listed(folder) if names.is_showable(n) and not names.is_ignored(n)]
    found.sort(key=lambda name: (not name.startswith(_PHASES), name))
    return list(_files(place, found))


_PHASES = ("before_", "after_", "complete_")


def _files(place: Path, found: list[str]) -> Iterator[str]:
    left = MOST_FILES
    for name in found:
        if not left:
            return
        if not (place / name).is_dir():
            left -= 1
            yield name


def _see(folder: Folder, script: Path) -> Seen:
    with os.fdopen(storage.open_inside(folder, script), "rb") as file:
        before = os.fstat(file.fileno())
        _let_the_clock_tick(before.st_ctime_ns)
        digest, content = hashlib.sha256(), bytearray()
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
            if len(content) <= texts.MAX_BYTES:
                content += piece
        after = os.fstat(file.fileno())
    mark = Mark.of(after)
    kind = texts.kind(bytes(content))
    # With a second name it may be somebody else's file.
    is_kept = kind == Kind.TEXT and len(content) <= texts.MAX_BYTES and after.st_nlink == 1
    return Seen(
        script.name,
        digest.hexdigest(),
        after.st_size,
        after.st_mode & 0o7777,
        after.st_uid,
        kind,
        bytes(content) if is_kept else None,
        mark if mark == Mark.of(before) else None,
    )


def _let_the_clock_tick(changed_ns: int) -> None:
    """Wait until a later change must leave another time than this one; at most for a tick."""
    young = time.time_ns() - changed_ns
    if 0 <= young < _TICK_NS:
        time.sleep((_TICK_NS - young) / 1e9)
