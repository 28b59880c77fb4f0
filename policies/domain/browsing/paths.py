"""Paths within a snapshot: bytes, as its file system has them, and how an address and a page write them.

A path is relative and has no empty part, no "." and no "..": the root is b"". Names are what somebody else chose, so
nothing here takes them for text.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from n2wbackup.lib import terminal

LONGEST_PATH, LONGEST_NAME = 4096, 255
_KEPT = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/")
_TOKEN = re.compile(r"(?:[A-Za-z0-9._/-]|~[0-9a-f]{2})*")
_WRITTEN_OUT = re.compile(r"~([0-9a-f]{2})")


class NotAPathError(ValueError):
    """This is no path within a snapshot."""


class Crumb(NamedTuple):
    """A folder on the way to a path."""

    shown: str
    token: str


def checked(path: bytes) -> bytes:
    """Return the path; NotAPathError if it is none."""
    parts = path.split(b"/") if path else []
    if len(path) > LONGEST_PATH or b"\0" in path or any(not _is_name(part) for part in parts):
        raise NotAPathError
    return path


def _is_name(part: bytes) -> bool:
    return part not in {b"", b".", b".."} and len(part) <= LONGEST_NAME


def token(path: bytes) -> str:
    """Write a path for an address: in characters that no browser changes. Each path has one token."""
    return "".join(chr(each) if each in _KEPT else f"~{each:02x}" for each in path)


def of_token(text: str) -> bytes:
    """Return the path of a token; NotAPathError if nobody wrote it with `token`."""
    if not _TOKEN.fullmatch(text):
        raise NotAPathError
    path = _WRITTEN_OUT.sub(lambda found: chr(int(found[1], 16)), text).encode("latin-1")
    if token(path) != text:
        raise NotAPathError
    return checked(path)


def shown(name: bytes) -> str:
    """Return a name or a path as one harmless line; bytes that are no UTF-8 are written out."""
    return terminal.line(name.decode(errors="surrogateescape"))


def below(folder: bytes, name: bytes) -> bytes:
    """Return the path of a name in a folder; NotAPathError if the file system has lied about it."""
    if b"/" in name or not _is_name(name):
        raise NotAPathError
    return checked(folder + b"/" + name if folder else name)


def above(path: bytes) -> bytes:
    """Return the folder that a path is in."""
    return path.rpartition(b"/")[0]


def name(path: bytes) -> bytes:
    """Return the last part of a path; b"" for the root."""
    return path.rpartition(b"/")[2]


def crumbs(path: bytes) -> Sequence[Crumb]:
    """Return the folders from the root's first one down to the path itself."""
    return [Crumb(shown(name(each)), token(each)) for each in _down_to(path)]


def _down_to(path: bytes) -> Iterator[bytes]:
    parts = path.split(b"/") if path else []
    for number in range(1, len(parts) + 1):
        yield b"/".join(parts[:number])


def shown_path(path: bytes) -> str:
    """Return a path as people write it, from the root on."""
    return f"/{shown(path)}"
