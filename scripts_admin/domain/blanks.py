"""Whether two texts of a script differ in nothing but blanks and line ends. Pure.

In a shell script indentation, blanks at the end of a line and empty lines at the end of the file do not matter, in
Python the last two, and in other languages only line ends. Where they can matter, they do: behind a backslash, in a
here-document, in a string of several lines. Blanks within a line always do: `rm -rf /srv/old` is not
`rm -rf / srv/old`.
"""

import re

_FIRST = rb"#![ \t]*/(?:usr/|usr/local/)?bin/(?:env[ \t]+)?"
_SHELL = re.compile(_FIRST + rb"(?:sh|bash|dash|ksh|mksh|zsh)(?:[ \t]+-[a-z]+)*[ \t]*\r?(?:\n|\Z)")
_PYTHON = re.compile(_FIRST + rb"python3?(?:\.[0-9]+)?(?:[ \t]+-[a-zA-Z]+)*[ \t]*\r?(?:\n|\Z)")
# No string goes on behind such a line. What may stand in another string or substitution is not taken at all: a shell
# and a simple rule would disagree about where it ends.
_CLOSED = re.compile(
    rb"[ \t]*#.*"
    rb"|(?:"
    rb"[^'\"`\\$]"
    rb"|\\."
    rb"|\$(?!')"
    rb"|'[^']*'"
    rb"|`[^`'\"\\]*`"
    rb'|"(?:[^"`\\$]|\\.|\$(?![({])|\$\([^"\'`\\()$]*\)|\$\{[^"\'`\\{}$]*\})*"'
    rb")*+"
)
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
    given = text.replace(b"\r\n", b"\n").split(b"\n")
    is_shell = _SHELL.match(text) is not None
    if any(b"\r" in line for line in given):
        return None
    if not is_shell and not _PYTHON.match(text):
        return given
    found = [line.rstrip(_BLANKS) for line in given]
    if any(mark in text for mark in _LONG_STRINGS) or any(line.endswith(b"\\") for line in found):
        return None
    if is_shell:
        if not all(map(_CLOSED.fullmatch, given)):
            return None
        found = [line.lstrip(_BLANKS) for line in found]
    while found and not found[-1]:
        found.pop()
    return found
