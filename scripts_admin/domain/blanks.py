"""Whether two texts of a script differ in nothing but blanks and line ends. Pure.

Blanks at the end of a line, line ends and empty lines at the end of a file do not matter, and in a shell script
neither does indentation, except where they can: behind a backslash, in a here-document, in a string of several lines.
Blanks within a line always matter: `rm -rf /srv/old` is not `rm -rf / srv/old`.
"""

import re

_SHELL = re.compile(rb"#![^\n]*\b(sh|bash|dash|ksh|mksh|zsh)\b")
_QUOTES = (b"'", b'"', b"`")
_LONG_STRINGS = (b'"""', b"'''", b"<<")
_BLANKS = b" \t"


def only_blanks_differ(one: bytes, other: bytes) -> bool:
    """Tell whether nothing else differs, and no blank that does could change what the script does."""
    first, second = _lines(one), _lines(other)
    return first is not None and first == second


def has_carriage_returns(text: bytes) -> bool:
    return b"\r" in text


def _lines(text: bytes) -> list[bytes] | None:
    """Return the lines without the blanks that do not matter; None if any of them may."""
    if any(mark in text for mark in _LONG_STRINGS):
        return None
    given = text.replace(b"\r\n", b"\n").split(b"\n")
    found = [line.rstrip(_BLANKS) for line in given]
    if any(line.endswith(b"\\") for line in found) or any(b"\r" in line for line in given):
        return None
    while found and not found[-1]:
        found.pop()
    if _SHELL.match(text) and not any(_is_open(line) for line in found):
        found = [line.lstrip(_BLANKS) for line in found]
    return found


def _is_open(line: bytes) -> bool:
    """Tell whether a string may go on in the next line; a single apostrophe in a comment counts, too."""
    return any(line.count(quote) % 2 for quote in _QUOTES)
