"""How a secret may be written in a text: as it is, in a URL, in JSON, in base64 and the like."""

import base64
import html
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

# A shorter secret is masked only as a whole word: masking every "root" would destroy the text, and tell the secret.
SHORT = 8
_SHORTEST_LINE = 4  # of a secret with several lines
_BASE64_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_BITS, _BITS_OF_A_LETTER = 8, 6


@dataclass(frozen=True, slots=True)
class Forms:
    """All writings of some secrets: `anywhere` also inside words, `words` only as whole words.

    `encoded` are in base64, each with the letters around it that hold a part of the secret: (before, after).
    """

    anywhere: frozenset[bytes]
    words: frozenset[bytes]
    encoded: dict[bytes, tuple[int, int]]


def of(secrets: Iterable[bytes]) -> Forms:
    """Return the writings of the secrets, and of each line of a secret with several lines (a private key)."""
    anywhere, words = set[bytes](), set[bytes]()
    encoded: dict[bytes, tuple[int, int]] = {}
    for secret in {piece for whole in secrets for piece in _pieces(whole)}:
        text = secret.decode("utf-8", "surrogateescape")
        if len(text) < SHORT:
            words |= set(_written(text))
            continue
        anywhere |= set(_written(text))
        for letters, around in _base64(secret):
            encoded[letters] = around
            anywhere |= {quote(letters, safe="").encode(), letters.replace(b"/", b"\\/")} - {
                letters
            }
    return Forms(frozenset(anywhere), frozenset(words), encoded)


def _pieces(secret: bytes) -> Iterator[bytes]:
    text = secret.decode("utf-8", "surrogateescape")
    lines = [line.strip() for line in text.splitlines()]
    for piece in [text.strip(), *(line for line in lines if len(line) >= _SHORTEST_LINE)]:
        if piece:
            yield piece.encode("utf-8", "surrogateescape")


def _written(text: str) -> Iterator[bytes]:
    raw = text.encode("utf-8", "surrogateescape")
    in_json = [json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]]
    in_url = [quote(raw), quote(raw, safe=""), quote(raw, safe="!'()*~"), quote_plus(raw)]
    in_url += [_small(each) for each in in_url]
    found = [
        text,
        *in_json,
        *(each.replace("/", "\\/") for each in in_json),
        *(json.dumps(each)[1:-1] for each in in_json),
        *in_url,
        *(quote(each, safe="") for each in in_url),
        html.escape(text),
        html.escape(text, quote=False),
        repr(text)[1:-1],
        shlex.quote(text).removeprefix("'").removesuffix("'"),
        text.replace("'", "'\\''"),  # as the shell's set -x writes it
    ]
    yield from {each.encode("utf-8", "surrogateescape") for each in found if each}


def _small(url: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), url)


def _base64(secret: bytes) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield the letters that stand for nothing but the secret, for each of the three places it may begin at."""
    for lead in range(3):
        letters = base64.b64encode(b"\0" * lead + secret)
        first = -(-lead * _BITS // _BITS_OF_A_LETTER)
        last, more = divmod((lead + len(secret)) * _BITS, _BITS_OF_A_LETTER)
        yield letters[first:last], (int(lead > 0), int(more > 0))


def squeezed(data: bytes) -> bytes:
    """Return the data with the letters of standard base64, and without the line breaks in it."""
    return data.translate(_BASE64_TO_STANDARD, b"\r\n")
