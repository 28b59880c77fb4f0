"""Images in memory, for tests: a plain folder stands for what is in a snapshot.

tests/contract/test_trees.py compares it with real ones. Programs run as this process, and their root is the folder.
"""

import io
import os
import stat
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from policies.domain.errors import (
    ImageError,
    ImageGoneError,
    ImageNotPossibleError,
    NoSuchPathError,
)
from policies.ports.images import About, Entry, Found, Kind, Listing, Order, Part, Ran, Tree

_PIECE = 64 * 1024
_MOST_OUTPUT = 256 * 1024


class FolderImages:
    """Opens folders by the ids of snapshots.

    `folders`: snapshot id → folder. `missing`: what `why_not` says. `fails`: snapshot id → the error of `opened`.
    """

    def __init__(self, folders: Mapping[str, Path] | None = None) -> None:
        """Nothing is open yet."""
        self.folders = dict(folders or {})
        self.missing = ""
        self.fails: dict[str, Exception] = {}
        self.orders: list[Order] = []
        self.about: dict[str, object] = {}  # fields of About that differ from a quiet ext4's
        self._open: dict[str, FolderTree] = {}

    def why_not(self) -> str:
        return self.missing

    def opened(self, order: Order) -> Tree:
        self.orders.append(order)
        if self.missing:
            raise ImageNotPossibleError(self.missing)
        if order.snapshot_id in self.fails:
            raise self.fails[order.snapshot_id]
        tree = FolderTree(order, self.folders[order.snapshot_id], self._forget, self.about)
        self._open[order.key] = tree
        return tree

    def again(self, key: str) -> Tree:
        if key not in self._open:
            raise ImageGoneError("The image is closed: open the snapshot again.")
        return self._open[key]

    def keys(self) -> tuple[str, ...]:
        return tuple(self._open)

    def reap(self) -> int:
        return 0

    def _forget(self, key: str) -> None:
        self._open.pop(key, None)


class FolderTree:
    """A folder as a tree."""

    def __init__(
        self,
        order: Order,
        folder: Path,
        forget: Callable[[str], None],
        facts: Mapping[str, object],
    ) -> None:
        """`forget` is told the key at the end."""
        self.key, self._folder, self._forget = order.key, folder, forget
        self._facts, self._ends_at = facts, time.time() + order.seconds
        self._programs: list[tuple[subprocess.Popen[bytes], float]] = []
        self._is_open = True

    def about(self) -> About:
        self._refuse_closed()
        size = 1024**3
        known: dict[str, object] = {
            "key": self.key,
            "root": str(self._folder),
            "parts": (Part(0, "ext4", size),),
            "part": 0,
            "file_system": "ext4",
            "needs_recovery": False,
            "replay_bytes": 0,
            "size_bytes": size,
            "used_bytes": size // 2,
            "blocks_read": 19,
            "blocks_of_snapshot": 512,
            "overlay_used_bytes": 0,
            "seconds": 0.1,
            "ends_at": self._ends_at,
        }
        return About(**{**known, **self._facts})  # type: ignore[arg-type] # a test may say any of them

    def listed(self, path: bytes = b"", after: bytes = b"", most: int = 500) -> Listing:
        folder = self._at(path)
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise NoSuchPathError(f"{_shown(path)} is no folder.")
        names = sorted(each for each in map(_name, folder.iterdir()) if each > after)
        entries = (self.stat(path + b"/" * bool(path) + name) for name in names[:most])
        return Listing(tuple(entries), more=len(names) > most)

    def stat(self, path: bytes) -> Entry:
        place = self._at(path)
        found = place.lstat()
        target = os.fsencode(place.readlink()) if stat.S_ISLNK(found.st_mode) else b""
        return Entry(
            path,
            _kind(found.st_mode),
            found.st_size,
            found.st_mtime,
            stat.S_IMODE(found.st_mode),
            found.st_uid,
            found.st_gid,
            target,
        )

    def read(self, path: bytes, most: int = -1, start: int = 0) -> Iterator[bytes]:
        if self.stat(path).kind != "file":
            raise NoSuchPathError(f"{_shown(path)} is no file that can be read.")
        return self._pieces(path, most, start)

    def _pieces(self, path: bytes, most: int, start: int) -> Iterator[bytes]:
        with self._at(path).open("rb") as file:
            file.seek(start)
            left = most if most >= 0 else 1 << 62
            while left and (piece := file.read(min(left, _PIECE))):
                left -= len(piece)
                yield piece

    def zipped(self, paths: Sequence[bytes]) -> Iterator[bytes]:
        for path in paths:
            self.stat(path)
        whole, left_out = io.BytesIO(), []
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as target:
            for path in paths:
                for entry in self._below(path):
                    name = entry.path.decode("utf-8", "backslashreplace")
                    if entry.kind == "file":
                        target.writestr(name, b"".join(self.read(entry.path)))
                    elif entry.kind == "folder":
                        target.writestr(f"{name}/", b"")
                    else:
                        left_out.append(name)
            if left_out:
                target.writestr("LEFT-OUT.txt", "\n".join(left_out) + "\n")
        return iter([whole.getvalue()])

    def found(self, words: str, most: int = 200, path: bytes = b"") -> Found:
        wanted = words.casefold().split()
        entries: list[Entry] = []
        for entry in self._below(path):
            name = entry.name.decode("utf-8", "replace").casefold()
            if all(word in name for word in wanted):
                if len(entries) == most:
                    return Found(tuple(entries), complete=False)
                entries.append(entry)
        return Found(tuple(entries), complete=True)

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        uid: int,  # noqa: ARG002 - as this process
        seconds: float,
        files: Mapping[str, bytes] | None = None,
    ) -> Ran:
        return self._end(self._start(argv, env, files), seconds)

    def started(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        uid: int,  # noqa: ARG002 - as this process
        seconds: float,  # noqa: ARG002 - a test ends what it starts
        files: Mapping[str, bytes] | None = None,
    ) -> int:
        return self._start(argv, env, files)

    def said(self, number: int) -> Ran:
        code = self._programs[number][0].poll()
        return Ran(code, b"", b"") if code is None else self._end(number, 0)

    def ended(self, number: int, grace_seconds: float = 10.0) -> Ran:
        self._programs[number][0].terminate()
        return self._end(number, grace_seconds)

    def checked(self, seconds: float) -> Ran:  # noqa: ARG002 - it takes none
        self._refuse_closed()
        return Ran(0, b"", b"")

    def close(self) -> None:
        self._is_open = False
        for process, _ in self._programs:
            process.kill()
            process.communicate()
        self._programs.clear()
        self._forget(self.key)

    def _start(
        self,
        argv: Sequence[str],
        env: Mapping[str, str] | None,
        files: Mapping[str, bytes] | None,
    ) -> int:
        self._refuse_closed()
        laid = Path(tempfile.mkdtemp(prefix="proof-"))
        for name, content in (files or {}).items():
            (laid / name).write_bytes(content)
            (laid / name).chmod(0o755)
        words = [each.replace("/proof/", f"{laid}/") for each in argv]
        around = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **(env or {})}
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=around
            )
        except OSError as error:
            raise ImageError(f"{argv[0]} cannot be started: {error.strerror}.") from error
        self._programs.append((process, time.monotonic()))
        return len(self._programs) - 1

    def _end(self, number: int, seconds: float) -> Ran:
        process, begun = self._programs[number]
        late = False
        try:
            out, err = process.communicate(timeout=seconds or None)
        except subprocess.TimeoutExpired:
            process.kill()
            late = True
            out, err = process.communicate()
        lasted = time.monotonic() - begun
        return Ran(process.returncode, out[-_MOST_OUTPUT:], err[-_MOST_OUTPUT:], lasted, late)

    def _below(self, path: bytes) -> Iterator[Entry]:
        entry = self.stat(path)
        if path:
            yield entry
        if entry.kind == "folder":
            for each in self.listed(path, most=1 << 30).entries:
                yield from self._below(each.path)

    def _at(self, path: bytes) -> Path:
        """Return the place of the path; refused if it leads through a link or out of the folder."""
        self._refuse_closed()
        place = self._folder
        for name in path.split(b"/") if path else ():
            if name in {b"", b".", b".."} or place.is_symlink():
                raise NoSuchPathError(f"There is no {_shown(path)} in the image.")
            place /= os.fsdecode(name)
        if not os.path.lexists(place):
            raise NoSuchPathError(f"There is no {_shown(path)} in the image.")
        return place

    def _refuse_closed(self) -> None:
        if not self._is_open:
            raise ImageGoneError("The image is closed: open the snapshot again.")


def _name(path: Path) -> bytes:
    return os.fsencode(path.name)


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "link" if stat.S_ISLNK(mode) else "other"
