"""Marks of files: as long as a file's mark is the same, nobody has changed its bytes. Standard library only.

A script's process tells with one line, right before it executes a file, which file that is. It goes through the pipe
for errors, which closes with the exec: nobody waits for it and nobody reads it before the script has ended.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

_BEGIN = b"\0ran "  # no error message begins with NUL


class Mark(NamedTuple):
    """What the kernel says of a file. The time of change goes on with each write, and no program can set it back."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Mark":
        return cls(
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )


class Ran(NamedTuple):
    """Which file was executed: the place of its path in the script's command, and its mark at that moment."""

    number: int
    mark: Mark


def line(number: int, path: str) -> bytes:
    """Return the line that tells of a file; empty if it cannot be told."""
    try:
        words = (number, *Mark.of(os.stat(path)))  # noqa: PTH116 - as short as it gets: the window may be open
    except OSError:
        return b""
    return _BEGIN + b" ".join(b"%d" % word for word in words) + b"\n"


def split(said: bytes) -> tuple[Ran | None, bytes]:
    """Return the file that was executed last, and the error message without the lines that tell of files."""
    found, rest = None, b""
    for each in said.splitlines(keepends=True):
        if each.startswith(_BEGIN):
            found = of([word.decode() for word in each[len(_BEGIN) :].split()]) or found
        else:
            rest += each
    return found, rest


def of(words: Sequence[str | int] | None) -> Ran | None:
    """Return what a journal's line or a process has said; None if it is not understood."""
    with suppress(TypeError, ValueError):
        number, *values = map(int, words or ())
        return Ran(number, Mark(*values))
    return None
