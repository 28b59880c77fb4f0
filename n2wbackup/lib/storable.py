"""Texts from outside, as a database takes them."""

import re

# NUL, which PostgreSQL refuses, and lone surrogates: Python keeps the undecodable bytes of a file's name in them.
_REFUSED = re.compile("[\0\ud800-\udfff]")


def text(found: str) -> str:
    """Return the text with a replacement for each character that a database refuses."""
    return _REFUSED.sub("�", found)
