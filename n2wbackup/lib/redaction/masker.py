"""Finding the writings of secrets in a text, at once or as it comes."""

import re
import string
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache

from n2wbackup.lib.redaction import writings

MARK = "[masked]"
_MARK = MARK.encode()
_Span = tuple[int, int]
_LETTERS = (string.ascii_letters + string.digits).encode()
_WORD = frozenset(_LETTERS + b"_") | frozenset(range(128, 256))
_BASE64 = frozenset(_LETTERS + b"+/-_=")
# Letters that belong to the character before: a word may begin right after them.
_ESCAPE = re.compile(rb"(?:%[0-9A-Fa-f]{2}|\\(?:[abfnrtv]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}))\Z")
_CONTEXT = 8  # as long as an escape, or a letter of base64 with the line break behind it
_BREAK = 2  # the line break between two letters of base64


def mask(text: str, secrets: Iterable[str]) -> str:
    """Return `text` with each secret replaced by `MARK`, and overlapping secrets by one mark.

    A secret is found as it is, in URLs, JSON, HTML, shell quotes and base64, and so is each line of a secret
    with several lines. One that is shorter than `SHORT` is found only as a whole word. Mask a text before
    cutting it, not after.
    """
    known = masker(tuple(secret.encode("utf-8", "surrogatepass") for secret in secrets))
    return known.mask(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


@lru_cache(maxsize=32)
def masker(secrets: tuple[bytes, ...]) -> "Masker":
    """Return the masker of these secrets, made once."""
    return Masker(secrets)


class Masker:
    """Masks some secrets in bytes. Its time is linear in the length of the text, whatever the secrets are."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        """Prepare all writings of the secrets."""
        self._forms = writings.of(secrets)
        broken = [len(each) * 2 for each in self._forms.encoded]
        whole = [len(each) for each in self._forms.anywhere | self._forms.words]
        # From the first byte of a secret to the last byte that decides whether it is one.
        self.reach = max([*whole, *broken]) + 2 * _CONTEXT if whole else 0

    def mask(self, data: bytes) -> bytes:
        """Return the data with each secret replaced by the mark."""
        stream = self.stream()
        return stream.feed(data) + stream.rest()

    def stream(self) -> "Stream":
        """Return a masker for data that comes in pieces."""
        return Stream(self)

    def spans(self, data: bytes) -> list[_Span]:
        """Return where secrets are, sorted; they may overlap."""
        found = {span for form in self._forms.anywhere for span in _occurrences(data, form)}
        for form in self._forms.words:
            found |= {span for span in _occurrences(data, form) if _is_word(data, *span)}
        if self._forms.encoded:
            found |= set(self._encoded(data))
        return sorted(found)

    def _encoded(self, data: bytes) -> Iterator[_Span]:
        letters = writings.squeezed(data)
        hits = [
            (span, around)
            for form, around in self._forms.encoded.items()
            for span in _occurrences(letters, form)
        ]
        if not hits:
            return
        breaks = [match.start() for match in re.finditer(rb"[\r\n]", data)]
        # How many letters there are before each line break.
        before = [at - number for number, at in enumerate(breaks)]
        for (start, stop), around in hits:
            first = start + bisect_right(before, start)
            last = stop - 1 + bisect_right(before, stop - 1)
            if last + 1 - first <= (stop - start) * 2:
                yield _widened(data, first, last + 1, around)


def _occurrences(data: bytes, form: bytes) -> Iterator[_Span]:
    start = data.find(form)
    while start >= 0:
        yield start, start + len(form)
        # Go on one byte later, not after the end: occurrences may overlap.
        start = data.find(form, start + 1)


def _is_word(data: bytes, start: int, stop: int) -> bool:
    if stop < len(data) and data[stop - 1] in _WORD and data[stop] in _WORD:
        return False
    if start == 0 or data[start] not in _WORD or data[start - 1] not in _WORD:
        return True
    return _ESCAPE.search(data[max(0, start - _CONTEXT) : start]) is not None


def _widened(data: bytes, start: int, stop: int, around: _Span) -> _Span:
    """Add the letters before and after that hold the rest of the secret's bits."""
    if around[0]:
        place = (
            len(data[max(0, start - _BREAK) : start].rstrip(b"\r\n")) + max(0, start - _BREAK) - 1
        )
        start = place if place >= 0 and data[place] in _BASE64 else start
    if around[1]:
        behind = data[stop : stop + _BREAK + 1]
        place = stop + len(behind) - len(behind.lstrip(b"\r\n"))
        if place < len(data) and data[place] in _BASE64:
            padding = data[place + 1 : place + 3]
            stop = place + 1 + len(padding) - len(padding.lstrip(b"="))
    return start, stop


class Stream:
    """Masks data as it comes; however it is divided, the result is the same."""

    def __init__(self, known: Masker) -> None:
        """Begin with nothing."""
        self._known = known
        self._data = b""  # a few bytes that were given out, and what is held back
        self._given = 0  # how many of them were given out
        self._masked = 0  # up to here, a mark stands for the data

    def feed(self, chunk: bytes) -> bytes:
        """Return what is now certain to be no secret, or a mark. The end is held back: a secret may begin there."""
        if not self._known.reach:
            return chunk
        self._data += chunk
        sure = len(self._data) - self._known.reach
        if sure <= self._given:
            return b""
        out, self._masked = self._until(sure)
        gone = max(0, sure - _CONTEXT)
        self._data = self._data[gone:]
        self._given, self._masked = sure - gone, max(0, self._masked - gone)
        return out

    def rest(self) -> bytes:
        """Return what is held back, masked as if nothing followed; more may follow all the same."""
        return self._until(len(self._data))[0]

    def _until(self, end: int) -> tuple[bytes, int]:
        """Return the masked data up to `end`, and where the last mark's data ends."""
        pieces: list[bytes] = []
        at, masked = self._given, self._masked
        for start, stop in self._known.spans(self._data):
            if not self._given <= start < end:
                continue
            if start >= masked:
                pieces += [self._data[max(at, masked) : start], _MARK]
                at = start
            masked = max(masked, stop)
        return b"".join([*pieces, self._data[max(at, masked) : end]]), masked
