"""Copying files of a snapshot into a folder of this machine, within the process that asks for it.

The folder must be the caller's own. What is copied gets a name in it that nobody has there yet, is never setuid, and
belongs to the caller.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from policies.adapters import broker
from policies.domain.browsing import paths
from policies.domain.browsing.states import State
from policies.domain.errors import ImageError, RefusedError
from policies.models import Copy, OpenedSnapshot, RunSnapshot
from policies.ports.images import Entry
from policies.services.browsing import asking, copying, opening, using
from policies.services.browsing.copying import Copied
from scripts_admin.domain.audit import Action, Change

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def fetch(
    snapshot: RunSnapshot,
    wanted: str,
    to: Path,
    *,
    by: str,
    copy: Copy | None = None,
    heard: Callable[[Copied], None] = lambda _: None,
) -> Copied:
    """Copy the file or folder at the path into `to`, and return how much that was. `copy`: it is read instead.

    RefusedError: the folder is not the caller's own, something of that name is in it, or the snapshot cannot be
    opened; its sentence says what to do. What was copied before an error stays there.
    """
    path = _path(wanted)
    into = _Folder(to)
    try:
        with broker.silenced({broker.OPEN_SNAPSHOT}):  # no worker opens it: this process does
            row, is_ours = _opened(snapshot, copy, by)
    except BaseException:
        into.close()
        raise
    try:
        return _copied(row, path, into, heard)
    finally:
        if is_ours:
            opening.close(row, "The copy is over.")


def _path(wanted: str) -> bytes:
    given = os.fsencode(wanted).strip(b"/")
    try:
        return paths.checked(given)
    except paths.NotAPathError:
        message = f"{paths.shown(os.fsencode(wanted))} is no path within a snapshot: write it without '.' and '..'."
        raise RefusedError(message) from None


def _opened(snapshot: RunSnapshot, copy: Copy | None, by: str) -> tuple[OpenedSnapshot, bool]:
    """Return the snapshot, open, and whether it was opened for us."""
    row = asking.ask(snapshot, by=by, copy=copy)
    is_ours = row.state == State.ASKED
    if is_ours:
        opening.work(row.pk)
        row.refresh_from_db()
    if row.state != State.OPEN:
        said = row.sentence or "Somebody else opens it right now: try again in a minute."
        message = f"{row.image} could not be opened: {said}"
        raise RefusedError(message)
    return row, is_ours


def _copied(
    row: OpenedSnapshot, path: bytes, into: "_Folder", heard: Callable[[Copied], None]
) -> Copied:
    def go_on(done: Copied) -> None:
        opening.used(row)
        heard(done)

    try:
        tree = using.tree(row)
        tree.stat(path)
        what, where = Change("path", "", paths.shown_path(path)), Change("to", "", str(into))
        asking.record(Action.DOWNLOADED, row, what, where)
        return copying.copy(tree, [path], into, go_on)
    except ImageError as error:
        raise RefusedError(str(error)) from error
    except OSError as error:
        message = f"{into} takes no more ({error.strerror}): what was copied until then is there."
        raise RefusedError(message) from error
    finally:
        into.close()


class _Folder:
    """A folder of the caller's, held open: nobody can put another one in its place."""

    def __init__(self, to: Path) -> None:
        """Open it; RefusedError if it is not the caller's own."""
        self._to = to
        try:
            self._top = os.open(to, _FOLDER)
        except OSError as error:
            message = f"{to} is no folder that can be used ({error.strerror}): make it first."
            raise RefusedError(message) from error
        found = os.fstat(self._top)
        if found.st_uid != os.geteuid() or found.st_mode & _OTHERS_WRITE:
            os.close(self._top)
            message = f"{to} belongs to somebody else, or others may write into it: name a folder of your own."
            raise RefusedError(message)

    def __str__(self) -> str:
        return str(self._to)

    def close(self) -> None:
        os.close(self._top)

    def _in(self, path: bytes) -> tuple[int, bytes]:
        """Return the open folder that the path is in, and its name there; nothing leads through a link."""
        *steps, name = path.split(b"/")
        at = os.dup(self._top)
        for step in steps:
            try:
                below = os.open(step, _FOLDER, dir_fd=at)
            finally:
                os.close(at)
            at = below
        return at, name

    def folder(self, path: bytes, mode: int) -> None:
        at, name = self._in(path)
        try:
            os.mkdir(name, mode, dir_fd=at)
        except FileExistsError as error:
            raise self._taken(path) from error
        finally:
            os.close(at)

    def _taken(self, path: bytes) -> RefusedError:
        return RefusedError(
            f"{self._to} has a {paths.shown(path)} already, and nothing is overwritten: name another folder."
        )

    def file(self, path: bytes, entry: Entry, mode: int, pieces: Iterator[bytes]) -> None:
        at, name = self._in(path)
        try:
            file = os.open(name, _NEW, 0o600, dir_fd=at)
        except FileExistsError as error:
            raise self._taken(path) from error
        finally:
            os.close(at)
        with os.fdopen(file, "wb") as target:
            target.writelines(pieces)
            target.flush()
            os.fchmod(file, mode)
            with suppress(OverflowError, OSError, ValueError):
                os.utime(file, (entry.modified_at, entry.modified_at))

    def drop(self, path: bytes) -> None:
        at, name = self._in(path)
        try:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=at)
        finally:
            os.close(at)
