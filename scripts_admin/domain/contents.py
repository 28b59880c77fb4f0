"""What a file of a script folder holds, and so whether its content may be kept, shown and edited. Pure."""

import re
from enum import StrEnum

LONGEST_BYTES = 1024 * 1024  # of a text; a longer file is run, and neither kept nor shown


class Contents(StrEnum):
    """What a file holds. Of every kind but TEXT only the name, the size and the hash are kept and shown."""

    TEXT = "text"
    KEY = "private key"
    BINARY = "no text"
    LARGE = "too long"


_KEY_NAMES = re.compile(r"(ssh_host_)?(id_)?(rsa|dsa|ecdsa|ed25519)(_sk)?(_key)?")
_KEY_MARKS = re.compile(
    rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----"  # OpenSSH, PEM, PKCS#8 and PGP
    rb"|---- BEGIN SSH2 [A-Z ]*PRIVATE KEY ----"
    rb"|PuTTY-User-Key-File-[0-9]"
    rb"|AGE-SECRET-KEY-1"
    rb"|SSH PRIVATE KEY FILE FORMAT"
)


def kind(name: str, content: bytes) -> Contents:
    """Return what the file holds. A text with a private key in it counts as one, whatever else it says."""
    if _KEY_NAMES.fullmatch(name) or _KEY_MARKS.search(content):
        return Contents.KEY
    if len(content) > LONGEST_BYTES:
        return Contents.LARGE
    return Contents.TEXT if _is_text(content) else Contents.BINARY


def may_be_shown(name: str, content: bytes) -> bool:
    """Tell whether the content may be kept, shown and edited."""
    return kind(name, content) == Contents.TEXT


def _is_text(content: bytes) -> bool:
    """Tell whether it is UTF-8 without NUL: everything else could not be edited without being changed."""
    if b"\0" in content:
        return False
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
