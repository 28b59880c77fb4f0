r"""Text that others wrote, made harmless for whoever reads it: on a terminal, in a mail, in JSON, on a page.

What a terminal or a browser acts on instead of showing it (escape sequences, changes of direction, invisible
characters, line separators) is written out, as `\x1b` or `\u202e`: nothing is lost, and the reader sees what
was there. All other text stays as it is, and harmless text is never changed again.
"""

import re
from typing import Any

# The characters of no width that Unicode does not count as format characters (Default_Ignorable_Code_Point),
# and the blank that looks like none. U+FE0E and U+FE0F stay: they choose between text and emoji.
UNSEEN = "".join(
    [
        "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0",
        *map(chr, range(0xFE00, 0xFE0E)),
        *map(chr, range(0xE0100, 0xE01F0)),
    ]
)
# The categories Cc, Cf, Cs, Zl and Zp.
_FORMAT = (
    "\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e00ff\ud800-\udfff"
)
_IN_A_LINE = re.compile(f"[\x00-\x1f\x7f-\x9f{_FORMAT}{UNSEEN}]")
_IN_A_BLOCK = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_FORMAT}{UNSEEN}]")


def line(text: str) -> str:
    """Return the text as one harmless line; line breaks and tabs are written out, too."""
    return _IN_A_LINE.sub(_written_out, text)


def block(text: str) -> str:
    """Return the text harmless, with its lines and tabs."""
    return _IN_A_BLOCK.sub(_written_out, text.replace("\r\n", "\n"))


def harmless(value: Any) -> Any:  # noqa: ANN401 - plain data of any shape, and the same shape back
    """Return plain data (as for JSON) with every string in it harmless, keys as well; tuples become lists."""
    if isinstance(value, str):
        return block(value)
    if isinstance(value, dict):
        return {line(str(key)): harmless(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [harmless(each) for each in value]
    return value


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 - a byte that was not UTF-8, as Python keeps it in a text
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:  # noqa: PLR2004 - two digits
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - four digits or eight
