"""Files of a mounted image, read by paths that cannot lead out of it: no link is followed, nothing is opened twice.

Names are bytes. Whatever is in the image, memory and time are bounded.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import io
import math
import os
import stat
import time
import zipfile
from collections.abc import Iterator
from typing import Any

from n2wbackup_run import kernel
from n2wbackup_run.accounts import RefusedError

PIECE = 256 * 1024
MOST_LISTED, LIST_SECONDS = 5_000, 60.0
_LOOK_EACH = 1_000  # names: then the time is looked at
MOST_SEARCHED, SEARCH_SECONDS = 10_000_000, 20.0
# Of each file and folder in it, a zip remembers a kilobyte until its end.
MOST_ZIPPED, MOST_LEFT_OUT = 100_000, 1_000
DEEPEST = 200
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
_OLDEST = (1980, 1, 1, 0, 0, 0)  # a zip knows nothing before


class NoPathError(Exception):
    """The image has no such path, or none that may be read; the text says which."""


class Tree:
    """What is below a folder."""

    def __init__(self, top: str) -> None:
        """Open the folder; it stays open until `close`."""
        self._top = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._top)

    def listed(self, path: bytes, after: bytes, most: int) -> dict[str, Any]:
        """Return a page of a folder; of a folder of very many names, no more than a page is kept in memory."""
        folder = self._opened(path, _FOLDER, "is no folder")
        try:
            most = max(1, min(most, MOST_LISTED))
            names = heapq.nsmallest(most + 1, _names(folder, after, LIST_SECONDS))
            entries = [_entry(folder, name, _joined(path, name)) for name in names[:most]]
        finally:
            os.close(folder)
        return {"entries": [each for each in entries if each], "more": len(names) > most}

    def stat(self, path: bytes) -> dict[str, Any]:
        if not path:
            return _described(os.fstat(self._top), path, b"")
        above, _, name = path.rpartition(b"/")
        _refuse_odd(path)
        folder = self._opened(above, _FOLDER, "is not there")
        try:
            found = _entry(folder, name, path)
        finally:
            os.close(folder)
        if found is None:
            raise NoPathError(f"There is no {shown(path)} in the image.")
        return found

    def opened(self, path: bytes) -> int:
        """Return a descriptor of the file; of nothing else, as reading a device or a pipe does something."""
        self._refuse_what_is_no_file(path)
        found = self._opened(path, _FILE, "is no file that can be read")
        if not stat.S_ISREG(os.fstat(found).st_mode):
            os.close(found)
            raise NoPathError(f"{shown(path)} is no file that can be read.")
        return found

    def _refuse_what_is_no_file(self, path: bytes) -> None:
        if self.stat(path)["kind"] != "file":
            raise NoPathError(f"{shown(path)} is no file that can be read.")

    def found(self, words: str, most: int, path: bytes) -> dict[str, Any]:
        """Return what bears all the words in its name, below the folder, until a limit is reached.

        Only of what is found more than the name is read: inodes lie far apart.
        """
        wanted, until = words.casefold().split(), time.monotonic() + SEARCH_SECONDS
        entries: list[dict[str, Any]] = []
        for number, (folder, name, at) in enumerate(self._named(path)):
            if number >= MOST_SEARCHED or time.monotonic() > until:
                return {"entries": entries, "complete": False}
            shown_name = name.decode("utf-8", "replace").casefold()
            if all(word in shown_name for word in wanted):
                if len(entries) == most:
                    return {"entries": entries, "complete": False}
                entry = _entry(folder, name, at)
                entries += [entry] if entry else []
        return {"entries": entries, "complete": True}

    def _named(self, path: bytes, depth: int = 0) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield all names below the path, each with its open folder and its own path; folders as `walked` does."""
        if depth > DEEPEST:
            return
        folder = self._opened(path, _FOLDER, "is no folder")
        try:
            with os.scandir(folder) as found:
                for each in found:
                    name = os.fsencode(each.name)
                    if b"/" in name:
                        continue
                    at = _joined(path, name)
                    yield folder, name, at
                    if _is_folder(each):
                        with contextlib.suppress(NoPathError, OSError):  # as in `_below`
                            yield from self._named(at, depth + 1)
        finally:
            os.close(folder)

    def walked(self, path: bytes, depth: int = 0) -> Iterator[dict[str, Any]]:
        """Yield all that is below the path, each folder before its content, in the order of the folder."""
        if depth > DEEPEST:
            return
        folder = self._opened(path, _FOLDER, "is no folder")
        try:
            for name in _names(folder, b""):
                entry = _entry(folder, name, _joined(path, name))
                if entry is None:
                    continue
                yield entry
                if entry["kind"] == "folder":
                    yield from self._below(_joined(path, name), depth + 1)
        finally:
            os.close(folder)

    def _below(self, path: bytes, depth: int) -> Iterator[dict[str, Any]]:
        try:
            yield from self.walked(path, depth)
        except (NoPathError, OSError):  # it is damaged, or too deep: what stands beside it is not
            return

    def zipped(self, paths: list[bytes]) -> Iterator[bytes]:
        """Yield a zip, piece by piece, of files and folders; all that is neither is named in LEFT-OUT.txt."""
        for path in paths:
            self.stat(path)
        return _Zip(self).made(paths)

    def _opened(self, path: bytes, flags: int, why: str) -> int:
        _refuse_odd(path)
        try:
            return kernel.opened_beneath(self._top, path, flags | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.EXDEV, errno.ENAMETOOLONG):
                raise NoPathError(f"There is no {shown(path)} in the image.") from None
            if error.errno == errno.ENOTDIR:
                raise NoPathError(f"{shown(path)} {why}.") from None
            if error.errno in (errno.ENXIO, errno.EACCES, errno.EPERM):
                raise NoPathError(f"{shown(path)} is no file that can be read.") from None
            raise


class _Zip:
    """A zip that is written while it is sent."""

    def __init__(self, tree: Tree) -> None:
        self._tree, self._sink = tree, _Sink()
        self._left_out: list[str] = []
        self._taken: set[str] = set()
        self._seen = 0

    def made(self, paths: list[bytes]) -> Iterator[bytes]:
        with zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
            for path in paths:
                top = self._tree.stat(path)
                yield from self._entered(target, top) if path else ()
                if top["kind"] == "folder":
                    yield from self._below(target, path)
            if self._left_out:
                target.writestr("LEFT-OUT.txt", "\n".join(self._left_out) + "\n")
        yield self._sink.taken()

    def _below(self, target: zipfile.ZipFile, path: bytes) -> Iterator[bytes]:
        for entry in self._tree.walked(path):
            self._seen += 1
            if self._seen > MOST_ZIPPED:
                self._left_out.insert(
                    0,
                    f"NOT ALL OF IT IS HERE: a zip takes {MOST_ZIPPED:,} files and folders. Take its folders one by "
                    "one, or restore the volume.",
                )
                return
            yield from self._entered(target, entry)

    def _entered(self, target: zipfile.ZipFile, entry: dict[str, Any]) -> Iterator[bytes]:
        name = _safe(os.fsencode(entry["path"]))
        if name in self._taken or entry["kind"] not in ("file", "folder"):
            self._leave_out(f"{name} ({entry['kind']})")
            return
        self._taken.add(name)
        when = time.gmtime(max(0, min(int(entry["modified_at"]), 4_000_000_000)))[:6]
        is_folder = entry["kind"] == "folder"
        info = zipfile.ZipInfo(f"{name}/" if is_folder else name, max(when, _OLDEST))
        info.compress_type = zipfile.ZIP_DEFLATED
        info.create_system = 3
        mode = (
            0o755 if is_folder or entry["mode"] & 0o100 else 0o644
        )  # neither setuid nor for others to write
        info.external_attr = (mode | (stat.S_IFDIR if is_folder else stat.S_IFREG)) << 16
        if is_folder:
            target.writestr(info, b"")
            yield self._sink.taken()
            return
        try:
            file = self._tree.opened(os.fsencode(entry["path"]))
        except (NoPathError, OSError):
            self._leave_out(f"{name} (cannot be read)")
            return
        try:
            yield from self._copied(target, info, file)
        finally:
            os.close(file)

    def _copied(self, target: zipfile.ZipFile, info: zipfile.ZipInfo, file: int) -> Iterator[bytes]:
        info.file_size = os.fstat(file).st_size
        with target.open(info, "w", force_zip64=True) as writer:
            while True:
                piece = os.read(file, PIECE)
                if not piece:
                    break
                writer.write(piece)
                yield self._sink.taken()
        yield self._sink.taken()

    def _leave_out(self, line: str) -> None:
        if len(self._left_out) < MOST_LEFT_OUT:
            self._left_out.append(line)
        elif len(self._left_out) == MOST_LEFT_OUT:
            self._left_out.append("and more")


class _Sink(io.RawIOBase):
    """Keeps what is written until it is taken; it cannot be wound back, so the zip needs no file."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:  # noqa: ANN401 - bytes in one of their shapes
        self._pieces.append(bytes(piece))
        return len(piece)

    def taken(self) -> bytes:
        found = b"".join(self._pieces)
        self._pieces.clear()
        return found


def shown(path: bytes) -> str:
    """Return the path as a text in which nothing acts on a terminal."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _safe(path: bytes) -> str:
    r"""Return the path as a name in a zip: no way leads out of the folder where it is unpacked, whatever unpacks it."""
    names = [
        each for each in shown(path).replace("\\", "_").split("/") if each not in ("", ".", "..")
    ]
    return "/".join(each.replace(":", "_") for each in names)


def _refuse_odd(path: bytes) -> None:
    names = path.split(b"/") if path else []
    if any(each in (b"", b".", b"..") for each in names) or b"\0" in path:
        raise NoPathError(f"There is no {shown(path)} in the image.")


def _joined(path: bytes, name: bytes) -> bytes:
    return path + b"/" + name if path else name


def _names(folder: int, after: bytes, seconds: float = math.inf) -> Iterator[bytes]:
    """Yield the names of an open folder; a name with a slash is one that a damaged image made up."""
    until = time.monotonic() + seconds
    with os.scandir(folder) as found:
        for number, each in enumerate(found, 1):
            name = os.fsencode(each.name)
            if name > after and b"/" not in name:
                yield name
            if number % _LOOK_EACH == 0 and time.monotonic() > until:
                raise RefusedError(
                    f"this folder has so many names that {seconds:.0f} s were not enough to read them: {number} were "
                    "read; find names in it, or restore the volume"
                )


def _is_folder(found: os.DirEntry[str]) -> bool:
    """Tell whether it is a folder; most folders of a file system know without a look at the inode."""
    try:
        return found.is_dir(follow_symlinks=False)
    except OSError:  # its inode is damaged
        return False


def _entry(folder: int, name: bytes, path: bytes) -> dict[str, Any] | None:
    """Return what a name in an open folder stands for; None if it is not there."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        target = b""
        if stat.S_ISLNK(found.st_mode):
            target = os.fsencode(os.readlink(name, dir_fd=folder))
    except FileNotFoundError:
        return None
    except OSError:  # its inode is damaged
        return {"path": os.fsdecode(path), "kind": "other"}
    return _described(found, path, target)


def _described(found: os.stat_result, path: bytes, target: bytes) -> dict[str, Any]:
    kinds = ((stat.S_ISREG, "file"), (stat.S_ISDIR, "folder"), (stat.S_ISLNK, "link"))
    return {
        "path": os.fsdecode(path),
        "kind": next((kind for fits, kind in kinds if fits(found.st_mode)), "other"),
        "size": found.st_size,
        "modified_at": found.st_mtime,
        "mode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
        "target": os.fsdecode(target),
    }
