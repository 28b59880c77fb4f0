"""Looking into files of a folder that somebody hostile may own, by descriptors alone.

A link is never followed, and nothing but a regular file is opened: a FIFO would hold us, a device would notice. What
is said of a file is said of the very file that was opened, whatever its name names by now.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from n2wbackup.lib import trust
from scripts_admin.domain import texts
from scripts_admin.domain.shown import shown
from scripts_admin.domain.texts import Kind
from scripts_admin.folders import storage
from scripts_admin.models import Folder

MOST_NAMES = 200_000
_SNIFFED_BYTES = 16 * 1024
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {
    stat.S_IFLNK: "link",
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "named pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


class FileError(Exception):
    """A file cannot be shown or changed; the text is one sentence: what, on what, what to do next."""


class ChangedError(FileError):
    """The file is not what the person had before them; `theirs` is what it is now (None: it is gone)."""

    def __init__(self, sentence: str, theirs: "File | None") -> None:
        """Nothing has been changed."""
        super().__init__(sentence)
        self.theirs = theirs


@dataclass(frozen=True, slots=True)
class Entry:
    """What the kernel says about a name, and what its file holds as far as `kind` must know it.

    `kind` is `text`, `private key`, `binary`, or what is there instead of a regular file. `why` is a sentence if the
    content is not shown. `version` changes whenever the content does.
    """

    name: str
    kind: str
    mode: int
    uid: int
    size: int
    changed_at: float
    version: str
    target: str = ""
    why: str = ""

    @property
    def changed(self) -> datetime:
        return datetime.fromtimestamp(self.changed_at, UTC)

    @property
    def is_file(self) -> bool:
        return self.kind in set(Kind)


@dataclass(frozen=True, slots=True)
class File:
    """An entry with its content; None if it is not shown."""

    entry: Entry
    content: bytes | None

    @property
    def text(self) -> str:
        return (self.content or b"").decode()


@contextmanager
def opened(folder: Folder) -> Iterator[int]:
    """Yield the folder's descriptor; FileError if it is missing, a link, or closed to the server."""
    place = storage.path(folder)
    try:
        found = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        message = f"The script folder {place} does not exist yet: save a first file to create it."
        raise FileError(message) from None
    except OSError as error:
        message = f"The script folder {place} cannot be opened ({error.strerror}): correct what is in its place."
        raise FileError(message) from None
    try:
        yield found
    finally:
        os.close(found)


def listed(place: int, *, is_root: bool) -> tuple[list[str], bool]:
    """Return the names in the folder, and whether there are more than MOST_NAMES.

    In root's folder, folders are left out: they are those of the users.
    """
    found: list[str] = []
    with os.scandir(place) as entries:
        for each in entries:
            if len(found) == MOST_NAMES:
                return found, True
            if not (is_root and each.is_dir(follow_symlinks=False)):
                found.append(each.name)
    return found, False


def exists(place: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=place, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def glance(place: int, name: str) -> Entry | None:
    """Return what a name is without looking all of its file; None if it is gone."""
    with _looked_at(place, name) as (found, status):
        if found is None or status is None:
            return None
        why = _why_closed(name, status)
        if not stat.S_ISREG(status.st_mode):
            return _entry(name, status, _kind(status), why=why, target=_target(found, status))
        try:
            with os.fdopen(trust.opened(found, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                begins = file.read(_SNIFFED_BYTES)
        except OSError as error:
            return _entry(name, status, Kind.BINARY, why=_unreadable(name, error))
        kind = texts.beginning(begins)
        return _entry(name, status, kind, why=why or _why_not_shown(name, kind))


def read(place: int, name: str) -> File | None:
    """Return the file with its content if a page may show it; None if there is no such name."""
    with _looked_at(place, name) as (found, status):
        if found is None or status is None:
            return None
        why = _why_closed(name, status)
        if not stat.S_ISREG(status.st_mode):
            kind = _kind(status)
            return File(_entry(name, status, kind, why=why, target=_target(found, status)), None)
        try:
            with os.fdopen(trust.opened(found, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                content = file.read(texts.MAX_BYTES + 1)
        except OSError as error:
            return File(_entry(name, status, Kind.BINARY, why=_unreadable(name, error)), None)
        kind = texts.kind(content)
        why = why or _why_not_shown(name, kind)
        if why or len(content) > texts.MAX_BYTES:
            why = why or _too_large(name)
            return File(_entry(name, status, kind, why=why), None)
        return File(_entry(name, status, kind, version=texts.digest(content)), content)


@contextmanager
def _looked_at(place: int, name: str) -> Iterator[tuple[int | None, os.stat_result | None]]:
    try:
        if "/" in name or "\0" in name or name in {"", ".", ".."}:
            raise FileNotFoundError
        found = os.open(name, _LOOK, dir_fd=place)
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ENOENT, None):
            yield None, None
            return
        raise FileError(_unreadable(name, error)) from None
    try:
        yield found, os.fstat(found)
    finally:
        os.close(found)


def _entry(
    name: str,
    status: os.stat_result,
    kind: str,
    *,
    version: str = "",
    why: str = "",
    target: str = "",
) -> Entry:
    return Entry(
        name,
        kind,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_size,
        status.st_mtime,
        version or f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}",
        target,
        why,
    )


def _kind(status: os.stat_result) -> str:
    return _KINDS.get(stat.S_IFMT(status.st_mode), "something else")


def _target(found: int, status: os.stat_result) -> str:
    return os.readlink("", dir_fd=found) if stat.S_ISLNK(status.st_mode) else ""


def _why_closed(name: str, status: os.stat_result) -> str:
    """Return why an entry is not opened at all, whatever is in it."""
    said = shown(name)
    if stat.S_ISLNK(status.st_mode):
        return f"{said} is a link: it is not followed here, so open the file that it leads to."
    if not stat.S_ISREG(status.st_mode):
        return f"{said} is a {_kind(status)} and not a regular file: put one in its place."
    if status.st_nlink > 1:
        return (
            f"{said} has another name as well (a hard link), so it may be somebody else's file and is not shown: "
            "replace it by a copy."
        )
    if status.st_size > texts.MAX_BYTES:
        return _too_large(name)
    return ""


def _too_large(name: str) -> str:
    most = texts.MAX_BYTES // 1024**2
    return f"{shown(name)} is larger than {most} MiB, so it is not shown: change it over SSH."


def _why_not_shown(name: str, kind: Kind) -> str:
    said = shown(name)
    if kind == Kind.KEY:
        return f"{said} holds a private key, so it is never shown, and no version of it is kept."
    if kind == Kind.BINARY:
        return f"{said} is no text (UTF-8), so it is not shown: change it over SSH, or upload another file."
    return ""


def _unreadable(name: str, error: OSError) -> str:
    return f"{shown(name)} cannot be read by the server ({error.strerror}): change its permissions."
