"""Handlers of binfmt_misc: programs that an administrator registered for files the kernel does not know itself."""

from collections.abc import Iterable
from dataclasses import dataclass

from scripts_admin.domain.first_bytes import HEAD_BYTES


@dataclass(frozen=True, slots=True)
class Handler:
    """Whose files it takes: by bytes at a place, or by the ending of the name."""

    interpreter: bytes
    flags: bytes
    magic: bytes = b""
    mask: bytes = b""
    offset: int = 0
    extension: bytes = b""

    @property
    def is_open(self) -> bool:
        """Tell whether the kernel opened the interpreter when it was registered: no account needs a right to it."""
        return b"F" in self.flags

    @property
    def gets_an_open_file(self) -> bool:
        """Tell whether the interpreter gets the file opened, so that it need not be readable."""
        return b"O" in self.flags


def read(text: bytes) -> Handler | None:
    """Read what the kernel says of one handler; None if it is switched off, or said in another way."""
    lines = text.splitlines()
    if lines[:1] != [b"enabled"]:
        return None
    said = dict((line.rstrip().partition(b" ")[::2]) for line in lines[1:])
    try:
        magic = bytes.fromhex(said.get(b"magic", b"").decode())
        return Handler(
            interpreter=said[b"interpreter"],
            flags=said.get(b"flags:", b""),
            magic=magic,
            mask=bytes.fromhex(said.get(b"mask", b"").decode()) or b"\xff" * len(magic),
            offset=int(said.get(b"offset", b"0")),
            extension=said.get(b"extension", b"").removeprefix(b"."),
        )
    except (KeyError, ValueError):
        return None


def of(path: bytes, head: bytes, handlers: Iterable[Handler]) -> Handler | None:
    """Return the handler that takes a file with this path and these first bytes."""
    return next((one for one in handlers if _takes(one, path, head.ljust(HEAD_BYTES, b"\0"))), None)


def _takes(handler: Handler, path: bytes, head: bytes) -> bool:
    if handler.extension:
        _, dot, ending = path.rpartition(b".")
        return bool(dot) and ending == handler.extension
    part = head[handler.offset : handler.offset + len(handler.magic)]
    if not handler.magic or len(part) < len(handler.magic):
        return False
    return all(
        (one ^ wanted) & mask == 0
        for one, wanted, mask in zip(part, handler.magic, handler.mask, strict=True)
    )
