"""Rules about a file as a text, in any language."""

import re
from collections.abc import Iterator

from scripts_admin.domain import private_keys
from scripts_admin.domain.lint.remarks import Level, Remark
from scripts_admin.domain.lint.script import READ_CHARACTERS, Script

_FOREIGN = re.compile("(?:^|[ \t\"'\\[,(])[\u2010-\u2015\u2212](?=[A-Za-z\u2010-\u2015\u2212])")


def is_private_key(text: str) -> bool:
    """Tell whether the text holds a private key, which nobody may see or hand to another program."""
    return private_keys.is_in(text.encode(errors="replace"))


def private_key(script: Script) -> Iterator[Remark]:
    if script.phase and is_private_key(script.text):
        yield Remark(
            Level.ERROR,
            "private-key",
            f"{script.name} holds a private key, so it is not looked at further: move the key to a file of its own "
            "with mode 600, and name that file in the script.",
        )


def empty(script: Script) -> Iterator[Remark]:
    if script.phase and not script.text.strip("\ufeff \t\r\n"):
        yield Remark(
            Level.ERROR, "empty", f"{script.name} is empty: write the script, or delete the file."
        )


def byte_order_mark(script: Script) -> Iterator[Remark]:
    if script.text.startswith("\ufeff"):
        text = (
            f"{script.name} begins with a byte order mark, so its first line is not found: save it as "
            "UTF-8 without BOM."
        )
        yield Remark(Level.ERROR, "bom", text, line=1)


def first_line(script: Script) -> Iterator[Remark]:
    begun = script.text.lstrip("\ufeff")
    if script.phase and begun.strip() and not begun.startswith("#!"):
        text = (
            f"{script.name} has no first line that names its interpreter: begin it with #!/bin/bash, or "
            "what it needs."
        )
        yield Remark(Level.ERROR, "no-shebang", text, line=1)


def line_ends(script: Script) -> Iterator[Remark]:
    if script.lines[0].startswith("#!") and script.lines[0].endswith("\r"):
        text = f"{script.name} has Windows line ends (CRLF), so its interpreter is not found: convert it to LF."
        yield Remark(Level.ERROR, "crlf", text, line=1)
        return
    for number, line in enumerate(script.lines, start=1):
        if line.endswith("\r"):
            text = (
                f"{script.name} has Windows line ends (CRLF) behind its first line, which its interpreter takes for a "
                "part of each command: convert it to LF."
            )
            yield Remark(Level.WARNING, "crlf", text, line=number)
            return


def long_text(script: Script) -> Iterator[Remark]:
    if script.language and len(script.text) > READ_CHARACTERS:
        text = (
            f"{script.name} is longer than {READ_CHARACTERS // 1024} KiB, and only its beginning was looked "
            "at: move parts of it into helper files."
        )
        yield Remark(Level.ADVICE, "long", text)


def mangled_address(script: Script) -> Iterator[Remark]:
    for number, line in enumerate(script.lines, start=1):
        if "[email" in line and "[email protected]" in line.replace("\xa0", " "):
            text = (
                f'{script.name} says "[email protected]", which a web page put in the place of an address: '
                "write user@host again."
            )
            yield Remark(Level.ERROR, "mangled-address", text, line=number)


def dash_for_hyphen(script: Script) -> Iterator[Remark]:
    """In a shell, the rule about words finds more, and knows what is printed only."""
    if script.is_shell or not script.language or script.text.isascii():
        return
    for number, line in enumerate(script.lines, start=1):
        if not line.isascii() and not line.lstrip().startswith("#") and _FOREIGN.search(line):
            text = (
                f"{script.name} has a dash where an option begins, as a word processor writes it: type an "
                "ASCII hyphen (-)."
            )
            yield Remark(Level.WARNING, "typographic", text, line=number)


RULES = (
    private_key,
    empty,
    byte_order_mark,
    first_line,
    line_ends,
    long_text,
    mangled_address,
    dash_for_hyphen,
)
