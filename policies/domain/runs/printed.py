"""What a script printed, in bytes: cut into pieces, and put together again from any byte or line. Pure."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

PIECE_BYTES = 64 * 1024
_BREAK = b"\n"


class Piece(NamedTuple):
    """A part of a stream. `start` bytes and `line` line breaks come before it."""

    start: int
    line: int
    data: bytes

    @property
    def end(self) -> int:
        """Return the first byte after it."""
        return self.start + len(self.data)


class Line(NamedTuple):
    number: int  # the first line is 1
    text: str


NOTHING = Piece(0, 0, b"")


def pieces(data: bytes, size: int = PIECE_BYTES) -> Iterator[Piece]:
    """Cut what was printed into pieces of this size; nothing printed, no piece."""
    line = 0
    for start in range(0, len(data), size):
        part = data[start : start + size]
        yield Piece(start, line, part)
        line += part.count(_BREAK)


def joined(found: Iterable[Piece]) -> Piece:
    """Put neighbouring pieces together."""
    every = list(found)
    if not every:
        return NOTHING
    return Piece(every[0].start, every[0].line, b"".join(piece.data for piece in every))


def cut_from(whole: Piece, start: int) -> Piece:
    """Leave out what comes before the byte; it may lie outside."""
    skipped = min(max(0, start - whole.start), len(whole.data))
    before = whole.data[:skipped].count(_BREAK)
    return Piece(whole.start + skipped, whole.line + before, whole.data[skipped:])


def whole_lines(found: Piece, most: int = PIECE_BYTES) -> Piece:
    """Leave out a last line that may still grow, unless it is already longer than `most`."""
    stop = found.data.rfind(_BREAK) + 1
    if not stop and len(found.data) > most:
        return found
    return found._replace(data=found.data[:stop])


def last_lines(found: Piece, count: int) -> Piece:
    """Leave out all but the last lines."""
    stop = len(found.data) - found.data.endswith(_BREAK)
    at = stop
    for _ in range(count):
        at = found.data.rfind(_BREAK, 0, at)
        if at < 0:
            return found
    return cut_from(found, found.start + at + 1)


def from_line(found: Piece, number: int, count: int) -> Piece:
    """Leave out all but `count` lines, the first of them the one with this number."""
    data, at = found.data, 0
    for _ in range(max(0, number - 1 - found.line)):
        at = data.find(_BREAK, at) + 1
        if not at:
            return cut_from(found, found.end)
    stop = at
    for _ in range(count):
        stop = data.find(_BREAK, stop) + 1
        if not stop:
            return cut_from(found, found.start + at)
    return cut_from(found, found.start + at)._replace(data=data[at:stop])


def lines(found: Piece) -> list[Line]:
    """Return the lines of a piece that begins with one; bytes that are no UTF-8 are replaced."""
    text = found.data.decode("utf-8", "replace")
    if not text:
        return []
    every = text.removesuffix("\n").split("\n")
    return [Line(found.line + number, line) for number, line in enumerate(every, 1)]
