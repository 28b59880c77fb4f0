"""What a file holds, as far as a page must know it: text, a private key, or something else. Pure functions of bytes."""

import hashlib
from enum import StrEnum

from scripts_admin.domain import private_keys

MAX_BYTES = 1024 * 1024  # a form that sends a text of this size still fits into a request
BOM = b"\xef\xbb\xbf"


class Kind(StrEnum):
    TEXT = "text"
    KEY = "private key"
    BINARY = "binary"


def kind(content: bytes) -> Kind:
    """Return what the bytes are. A private key is one wherever it stands, and whatever else is around it."""
    if private_keys.is_in(content):
        return Kind.KEY
    if b"\0" in content:
        return Kind.BINARY
    try:
        content.decode()
    except UnicodeDecodeError:
        return Kind.BINARY
    return Kind.TEXT


def beginning(content: bytes) -> Kind:
    """Return what a file is that begins with these bytes: a letter that is cut at the end does not matter."""
    found = kind(content)
    if found == Kind.BINARY and b"\0" not in content:
        return kind(content.decode(errors="ignore").encode()) if _cut(content) else found
    return found


def _cut(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True


def digest(content: bytes) -> str:
    """Return the version of a text: it is the same whenever the text is."""
    return hashlib.sha256(content).hexdigest()


def has_windows_line_ends(content: bytes) -> bool:
    """Tell whether every line ends in CRLF."""
    return b"\r\n" in content and content.count(b"\r\n") == content.count(b"\n")


def is_script(content: bytes) -> bool:
    """Tell whether the kernel can run it, if its mode lets it."""
    return content.removeprefix(BOM).startswith((b"#!", b"\x7fELF"))


def language(name: str, content: str) -> str:
    """Return the language of a text for an editor's colours: shell, python, perl, or "" for anything else."""
    first = content.partition("\n")[0].removeprefix("\ufeff")
    ending = name.rpartition(".")[2].lower()
    for words, language in _LANGUAGES:
        by_line = first.startswith("#!") and any(word in first for word in words)
        if by_line or (not first.startswith("#!") and ending in words):
            return language
    return ""


_LANGUAGES = (
    (("python", "py"), "python"),
    (("perl", "pl", "pm"), "perl"),
    (("bash", "dash", "ksh", "zsh", "sh", "conf"), "shell"),
)


def entered(text: str, *, crlf: bool) -> bytes:
    """Return what is stored of a text that a browser sent: its line ends are the file's, and not the browser's.

    A byte order mark before a first line such as #!/bin/bash is dropped: the kernel would not find the interpreter.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    content = (lines.replace("\n", "\r\n") if crlf else lines).encode("utf-8", "surrogatepass")
    return content.removeprefix(BOM) if is_script(content) else content
