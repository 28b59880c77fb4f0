"""Copying files and folders out of a tree into a folder of somebody's: nothing there is overwritten.

Links, devices, pipes and sockets are left out, and no copy is setuid or setgid.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from policies.domain.browsing import paths
from policies.domain.errors import ImageError, ImageGoneError, RefusedError
from policies.ports.images import Entry, Tree
from policies.services.browsing import walking
from policies.services.browsing.using import CutShortError, exactly

MOST_FILES = 100_000
_PLAIN = 0o777
_OURS = 0o700  # a folder into which its maker may not write would take nothing


class Into(Protocol):
    """Where the copies go. Paths are relative, and what has a folder comes after it. OSError: it takes nothing."""

    def folder(self, path: bytes, mode: int) -> None:
        """Make a folder; it must not be there yet."""

    def file(self, path: bytes, entry: Entry, mode: int, pieces: Iterator[bytes]) -> None:
        """Write a file that is not there yet, whole, and compare its size. Errors of `pieces` are raised."""

    def drop(self, path: bytes) -> None:
        """Remove a file that `file` has begun."""


@dataclass(slots=True)
class Copied:
    """How much was copied, and how many names were left out or could not be read."""

    files: int = 0
    bytes: int = 0
    left_out: int = 0
    problem: str = ""  # of the first file that could not be read


Heard = Callable[[Copied], None]


def copy(tree: Tree, wanted: Iterable[bytes], into: Into, heard: Heard) -> Copied:
    """Copy each of the paths with all that is below; `heard` is told how far it is, again and again.

    RefusedError: there are too many. OSError: `into` takes no more. ImageGoneError: the tree is gone. What was copied
    until then stays.
    """
    done = Copied()
    for path in wanted:
        above = len(paths.above(path))
        for entry in walking.below(tree, path):
            relative = entry.path[above + 1 if above else 0 :]
            _one(tree, entry, relative, into, done)
            if done.files > MOST_FILES:
                message = f"There are more than {MOST_FILES} files: choose a folder below, or restore the volume."
                raise RefusedError(message)
            heard(done)
    return done


def _one(tree: Tree, entry: Entry, relative: bytes, into: Into, done: Copied) -> None:
    if entry.kind == "folder":
        if relative:
            into.folder(relative, entry.mode & _PLAIN | _OURS)
        return
    if entry.kind != "file":
        done.left_out += 1
        return
    try:
        pieces = exactly(tree.read(entry.path), entry.size)
        into.file(relative, entry, entry.mode & _PLAIN, pieces)
    except ImageGoneError:
        raise
    except (ImageError, CutShortError) as error:
        into.drop(relative)
        done.left_out += 1
        done.problem = done.problem or f"{paths.shown_path(entry.path)} could not be read: {error}"
        return
    done.files += 1
    done.bytes += entry.size
