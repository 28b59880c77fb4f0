"""Taking secrets out of text before anybody reads it."""

import json
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MARK = "[masked]"
# Shorter ones are no secrets, and taking every "ab" out of a text would destroy it.
SHORTEST = 4


def mask(text: str, secrets: Iterable[str]) -> str:
    """Return `text` with each secret replaced by `MARK`, overlapping ones by one mark.

    Also found: a secret inside JSON or a URL, and each line of a secret that has several (a private
    key). Secrets shorter than `SHORTEST` characters are left alone. Mask before cutting a text, not
    after.
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
        # One on, not past the end: an occurrence may overlap the one before.
        start = text.find(form, start + 1)
