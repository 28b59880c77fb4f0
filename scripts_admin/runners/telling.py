"""What a far side has said, as a guard and a journal get it."""

import base64
from collections.abc import Iterator

from scripts_admin.runners.words import After, Before, Out, Over, Refused, Thawing, Word

PIECE_BYTES = 48 * 1024  # of an output, in one message


def in_words(word: Word) -> dict[str, object]:
    """Return what the guard or a journal gets of a word; nothing for one that tells them nothing."""
    match word:
        case Before():
            return {"word": "before", "code": str(word.code)}
        case Thawing():
            return {"word": "thawing", "by": word.by, "argument": word.argument}
        case After():
            return {"word": "after", "attempt": word.attempt, "code": str(word.code), "by": word.by}
        case Over():
            return {"word": "over", "by": word.by}
        case Refused():
            return {"word": "refused", "why": word.why}
    return {}


def pieces(word: Out) -> Iterator[str]:
    """Yield an output in base64, in pieces that fit a message; what the far side has cut is marked."""
    mark = f"\n[… {word.cut} bytes cut …]\n".encode() if word.cut else b""
    data = word.head + mark + word.tail
    for start in range(0, len(data), PIECE_BYTES):
        yield base64.b64encode(data[start : start + PIECE_BYTES]).decode()
