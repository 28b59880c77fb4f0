"""What people do with the files of an opened snapshot: look, search, download. Each download is entered in the audit.

Whoever calls this has asked whether the person may restore from the run.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, ParamSpec, TypeVar

from policies.domain.browsing import names, paths, ranges
from policies.domain.browsing.ranges import Wanted
from policies.domain.browsing.states import State
from policies.domain.errors import ImageGoneError, NoSuchPathError, RefusedError
from policies.models import OpenedSnapshot
from policies.ports.images import Entry, Found, Listing, Tree
from policies.services.browsing import asking, opening, reaching
from scripts_admin.domain.audit import Action, Change

ON_A_PAGE = 200
MOST_FOUND = 200
_ALL = Wanted()
_ENDED = "The snapshot is not open any more: open it once more."
_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")


class Download(NamedTuple):
    """What a browser is sent. `size` is None where nobody knows it before."""

    name: str
    size: int | None
    pieces: Iterator[bytes]
    start: int = 0  # the first byte of `size` that is sent; beyond its end, nothing is
    tag: str = ""


def tree(row: OpenedSnapshot) -> Tree:
    """Return the tree; RefusedError if it is not open, and the row is ended if its processes are gone."""
    if row.state != State.OPEN:
        raise RefusedError(_ENDED)
    return _alive(row, reaching.tree, row)


def _alive(
    row: OpenedSnapshot, act: Callable[_Given, _Answer], *given: _Given.args, **more: _Given.kwargs
) -> _Answer:
    """Do something with the image; where it is gone, end its row and raise RefusedError."""
    try:
        return act(*given, **more)
    except ImageGoneError as error:
        opening.lost(row)
        raise RefusedError(row.sentence or _ENDED) from error


def folder(row: OpenedSnapshot, path: bytes, after: bytes = b"") -> Listing:
    """Return a page of a folder. NoSuchPathError: there is none; RefusedError: it is not open any more."""
    found = _alive(row, tree(row).listed, path, after, ON_A_PAGE)
    opening.used(row)
    return found


def entry(row: OpenedSnapshot, path: bytes) -> Entry:
    """Return what is at the path; errors as in `folder`."""
    return _alive(row, tree(row).stat, path)


def search(row: OpenedSnapshot, words: str, path: bytes) -> Found:
    """Return what bears the words in its name below the folder; errors as in `folder`."""
    found = _alive(row, tree(row).found, words, MOST_FOUND, path)
    opening.used(row)
    asking.record(
        Action.SEARCHED,
        row,
        Change("words", "", words),
        Change("below", "", paths.shown_path(path)),
    )
    return found


def download(row: OpenedSnapshot, path: bytes, wanted: Wanted = _ALL) -> Download:
    """Return the content of a file, or the rest of it that is wanted; errors as in `folder`."""
    found = entry(row, path)
    if found.kind != "file":
        raise NoSuchPathError(f"{paths.shown_path(path)} is no file: only a file has a content.")
    size, tag = found.size, ranges.tag(row.snapshot, row.part, path, found.size, found.modified_at)
    start = wanted.start(tag)
    name = names.of_bytes(found.name)
    if start and start >= size:
        return Download(name, size, iter(()), start, tag)
    pieces = _alive(row, tree(row).read, path, start=start)
    _record(row, path, size - start)
    return Download(name, size, exactly(_kept_open(row, pieces), size - start), start, tag)


def as_zip(row: OpenedSnapshot, path: bytes) -> Download:
    """Return a folder, or one file, as a zip that is made while it is read; errors as in `folder`."""
    entry(row, path)
    pieces = _alive(row, tree(row).zipped, [path])
    _record(row, path, None)
    name = names.of_bytes(paths.name(path)) if path else str(row.image)
    return Download(f"{name}.zip", None, _kept_open(row, pieces))


def _record(row: OpenedSnapshot, path: bytes, size: int | None) -> None:
    what = Change("path", "", paths.shown_path(path))
    how = Change("as", "", "zip" if size is None else f"{size} bytes")
    asking.record(Action.DOWNLOADED, row, what, how)
    opening.used(row)


def _kept_open(row: OpenedSnapshot, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the pieces, and note while they are taken that the snapshot is used."""
    for piece in pieces:
        opening.used(row)
        yield piece


class CutShortError(Exception):
    """A file has ended before its size: what was sent is not all of it."""


def exactly(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield so many bytes: who was told a size must neither get more nor take less for the whole."""
    left = size
    for piece in _readable(pieces):
        if piece := piece[:left]:
            left -= len(piece)
            yield piece
        if not left:
            return
    if left:
        raise CutShortError("It ended before its size.")


def _readable(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the pieces; a silence of the image is no error of whoever takes them."""
    try:
        yield from pieces
    except TimeoutError as error:
        raise CutShortError("The image did not answer in time.") from error
