"""Masking secrets in text before anybody reads it."""

import json
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MARK = "[masked]"
# Shorter values are not secrets, and masking every "ab" in a text would destroy it.
SHORTEST = 4


def mask(text: str, secrets: Iterable[str]) -> str:
    """Return `text` with each secret replaced by `MARK`, and overlapping secrets by one mark.

    It also finds a secret inside JSON or a URL, and each line of a secret with several lines (a private
    key). Secrets shorter than `SHORTEST` characters stay. Mask a text before cutting it, not after.
    """
    spans = sorted(span for form in _forms(secrets) for span in _spans(text, form))
    pieces: list[str] = []
    end = 0
    for start, stop in spans:
        if start >= end:
            pieces += [text[end:start], MARK]
        end = max(end, stop)
    return "".join([*pieces, text[end:]])


def _forms(secrets: Iterable[str]) -> set[str]:
    forms: set[str] = set()
    for secret in secrets:
        for plain in {secret.strip(), *(line.strip() for line in secret.splitlines())}:
            forms |= {
                plain,
                json.dumps(plain)[1:-1],
                quote(plain),
                quote(plain, safe=""),
                quote_plus(plain),
            }
    return {form for form in forms if len(form) >= SHORTEST}


def _spans(text: str, form: str) -> Iterator[tuple[int, int]]:
    start = text.find(form)
    while start >= 0:
        yield start, start + len(form)
        # Go on one character later, not after the end: occurrences may overlap.
        start = text.find(form, start + 1)
