"""Names of files for a browser, which must not be misled by them."""

import re
from urllib.parse import quote

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._ -]")
_NO_LETTERS = re.compile(r'[\x00-\x1f\x7f-\x9f\\/:*?"<>|]')
_LONGEST = 200  # characters
_NAMELESS = "file"


def disposition(name: str) -> str:
    """Return the value of Content-Disposition with which a browser saves a file under about this name (RFC 6266).

    Old browsers read the part in ASCII. Nothing in either part ends a quoted text or a header.
    """
    safe = _safe(name)
    plain = _NOT_PLAIN.sub("_", safe)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(safe, safe='')}"


def of_bytes(name: bytes) -> str:
    """Return a name that is text, whatever bytes the file system has; what is no UTF-8 becomes `_`."""
    return _safe(name.decode(errors="replace").replace("\ufffd", "_"))


def _safe(name: str) -> str:
    """Return the name without what a file system or a terminal takes for more than a letter."""
    kept = "".join(each if each.isprintable() else "_" for each in _NO_LETTERS.sub("_", name))
    kept = kept[:_LONGEST].strip()
    return _NAMELESS if kept.strip(". ") == "" else kept
