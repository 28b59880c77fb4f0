"""What the kernel makes of a file's first bytes when it is executed. Pure functions over bytes.

They follow load_script and load_elf_binary of Linux, byte for byte: a script is judged before anything is
frozen, and a wrong verdict is noticed only when after does not start.
"""

import struct
import sys
from dataclasses import dataclass

HEAD_BYTES = 256  # BINPRM_BUF_SIZE: the kernel looks at no more
DEEPEST = 5  # an interpreter may be a script too, and so on, this many times
_BLANKS = b" \t"
_MAGIC = b"\x7fELF"
_EXECUTABLE = (2, 3)  # ET_EXEC, ET_DYN
_INTERPRETER = 3  # PT_INTERP
_LONGEST_PATH = 4096


@dataclass(frozen=True, slots=True)
class Shebang:
    """A script: the kernel starts the interpreter with at most one argument, then the script's path."""

    interpreter: bytes
    argument: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Layout:
    """How struct.h of a class writes its headers: Elf32_Ehdr and Elf32_Phdr, or the same of 64 bits."""

    bits: int
    file: str  # from e_type to e_phnum
    program: str  # from p_type to p_filesz
    program_bytes: int
    offset: int  # which field of a program header is p_offset


_LAYOUTS = {
    1: _Layout(32, "HHIIIIIHHH", "IIIII", 32, 1),
    2: _Layout(64, "HHIQQQIHHH", "IIQQQQ", 56, 2),
}
_ORDERS = {1: "<", 2: ">"}
_NATIVE = "<" if sys.byteorder == "little" else ">"
_IDENTITY_BYTES = 16


@dataclass(frozen=True, slots=True)
class Elf:
    """A binary: its class, byte order and machine, and where its program headers are."""

    layout: _Layout
    order: str
    machine: int
    headers_at: int
    headers: int

    @property
    def bits(self) -> int:
        return self.layout.bits

    @property
    def is_little(self) -> bool:
        """Tell whether its numbers begin with their lowest byte."""
        return self.order == "<"

    @property
    def table(self) -> "Span":
        """Where its program headers are."""
        return Span(self.headers_at, self.headers * self.layout.program_bytes)


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a file."""

    start: int
    size: int


def read(head: bytes) -> Shebang | Elf | None:
    """Return what a file with this start is; None if the kernel refuses it as no program (ENOEXEC)."""
    head = head[:HEAD_BYTES]
    if head.startswith(b"#!"):
        return _shebang(head.ljust(HEAD_BYTES, b"\0"))
    return _elf(head) if head.startswith(_MAGIC) else None


def _shebang(head: bytes) -> Shebang | None:
    # The kernel's search for the line end stops at a NUL, and then it takes the whole buffer for the line.
    end = head.find(b"\n")
    nul = head.find(b"\0")
    if end < 0 or 0 <= nul < end:
        end = HEAD_BYTES - 1
        name = _skip(head, 2, end)
        if name is None or _terminator(head, name, end) is None:
            return None  # only blanks, or a path that is cut off
    while head[end - 1] in _BLANKS:
        end -= 1
    start = _skip(head, 2, end)
    if start is None or start == end:
        return None
    stop = _terminator(head, start, end)
    if stop is None or head[stop] == 0:
        return Shebang(_until_nul(head[start:end]))
    argument = _skip(head, stop, end)
    given = None if argument is None else _until_nul(head[argument:end])
    return Shebang(head[start:stop], given)


def _skip(head: bytes, first: int, last: int) -> int | None:
    """Return the place of the first byte that is no blank, `last` included."""
    return next((at for at in range(first, last + 1) if head[at] not in _BLANKS), None)


def _terminator(head: bytes, first: int, last: int) -> int | None:
    """Return the place of the first blank or NUL, `last` included."""
    return next((at for at in range(first, last + 1) if head[at] in b" \t\0"), None)


def _until_nul(text: bytes) -> bytes:
    return text.partition(b"\0")[0]


def _elf(head: bytes) -> Elf | None:
    """Read the header as the kernel does: by its own byte order, and by the sizes and not by the class it names."""
    for layout in (_LAYOUTS[2], _LAYOUTS[1]):
        found = _header(head, layout, _NATIVE)
        if found is not None:
            return found
    if len(head) < _IDENTITY_BYTES or head[4] not in _LAYOUTS or head[5] not in _ORDERS:
        return None
    return _header(head, _LAYOUTS[head[4]], _ORDERS[head[5]])


def _header(head: bytes, layout: _Layout, order: str) -> Elf | None:
    fields = order + layout.file
    if len(head) < _IDENTITY_BYTES + struct.calcsize(fields):
        return None
    kind, machine, _, _, at, _, _, _, size, count = struct.unpack_from(
        fields, head, _IDENTITY_BYTES
    )
    fits = kind in _EXECUTABLE and size == layout.program_bytes and count
    return Elf(layout, order, machine, at, count) if fits else None


def loader_span(binary: Elf, table: bytes) -> Span | None:
    """Return where the binary names its loader, by its program headers; None if it is static."""
    layout = binary.layout
    for at in range(0, len(table) - layout.program_bytes + 1, layout.program_bytes):
        fields = struct.unpack_from(binary.order + layout.program, table, at)
        if fields[0] == _INTERPRETER:
            return Span(fields[layout.offset], fields[-1])
    return None


def loader_name(raw: bytes) -> bytes | None:
    """Return the loader's path from its span; None if the kernel refuses it."""
    if not 1 < len(raw) <= _LONGEST_PATH or not raw.endswith(b"\0"):
        return None
    return _until_nul(raw)
