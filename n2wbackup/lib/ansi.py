"""The colours that a script prints for a terminal, as classes from a fixed list.

Nothing of what a script prints becomes a class, a style or markup: its codes only choose among these names.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from n2wbackup.lib import terminal

_CODES = re.compile(r"\x1b\[([0-9;:]*)m")
_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_ON = {1: "bold", 2: "dim", 3: "italic", 4: "underline"}
_OFF = {22: ("bold", "dim"), 23: ("italic",), 24: ("underline",)}
_FIRST, _LAST, _BRIGHT_FIRST, _BRIGHT_LAST = 30, 37, 90, 97
_ANY_COLOUR = (38, 48)  # followed by 5;n or 2;r;g;b
_FOLLOWED_BY = {5: 2, 2: 4}
CLASSES = frozenset(f"ansi-{name}" for name in (*_COLOURS, *_ON.values()))


class Part(NamedTuple):
    """Harmless text in one look; `classes` are from CLASSES, separated by blanks."""

    text: str
    classes: str = ""


class Look(NamedTuple):
    colour: str = ""
    marks: frozenset[str] = frozenset()

    @property
    def classes(self) -> str:
        """Return its classes."""
        return " ".join(f"ansi-{name}" for name in sorted({*self.marks, self.colour} - {""}))


USUAL = Look()


def plain(text: str) -> str:
    """Return the text without colours, and harmless."""
    return terminal.line(_CODES.sub("", text).replace("\t", "    "))


def parts(text: str, look: Look = USUAL) -> tuple[list[Part], Look]:
    """Return one line in parts, and the look in which the next one begins."""
    found = list[Part]()
    at = 0
    for match in _CODES.finditer(text):
        _add(found, text[at : match.start()], look)
        look, at = _changed(look, _numbers(match[1])), match.end()
    _add(found, text[at:], look)
    return found, look


def _add(found: list[Part], text: str, look: Look) -> None:
    if text:
        found.append(Part(terminal.block(text.removesuffix("\r")), look.classes))


def _numbers(codes: str) -> list[int]:
    # Python refuses to read longer numbers, and no code has more than three digits.
    return [int(code[:9]) if code else 0 for code in re.split("[;:]", codes)]


def _changed(look: Look, codes: Sequence[int]) -> Look:
    for code in _without_shades(codes):
        if code == 0:
            look = Look()
        elif code in _ON:
            look = look._replace(marks=look.marks | {_ON[code]})
        elif code in _OFF:
            look = look._replace(marks=look.marks - {*_OFF[code]})
        elif _FIRST <= code <= _LAST:
            look = look._replace(colour=_COLOURS[code - _FIRST])
        elif _BRIGHT_FIRST <= code <= _BRIGHT_LAST:
            look = look._replace(colour=_COLOURS[code - _BRIGHT_FIRST])
        elif code == 39:  # noqa: PLR2004 - the usual colour
            look = look._replace(colour="")
    return look


def _without_shades(codes: Sequence[int]) -> Iterator[int]:
    """Leave out the colours that are given by number: no class stands for them."""
    at = 0
    while at < len(codes):
        code = codes[at]
        if code in _ANY_COLOUR and at + 1 < len(codes):
            at += 1 + _FOLLOWED_BY.get(codes[at + 1], 1)
            continue
        yield code
        at += 1
