"""shellcheck and `bash -n`, asked about a text: within limits, with a clean environment, and with no file to open.

The text comes through a pipe, so neither finds anything beside it. Limits are set before the first byte is sent.
"""

import json
import re
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from scripts_admin.domain.lint.remarks import Level, Remark
from scripts_admin.domain.lint.script import Script
from scripts_admin.domain.shown import shown

CHECKED_BYTES = 64 * 1024  # shellcheck takes seconds for more
SECONDS = 10.0
_MEMORY_BYTES = 512 * 1024 * 1024  # of data: its runtime reserves far more addresses than it uses
_AT_ONCE = threading.BoundedSemaphore(2)
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent"}
_DIALECTS = {"bash": "bash", "sh": "sh", "dash": "dash", "ksh": "ksh", "": "bash"}
_READERS = {"bash": "/bin/bash", "sh": "/bin/sh", "dash": "/bin/sh", "": "/bin/bash"}
# Said better by a rule of ours, or about files that it does not see: sourced ones, and the shell over there.
_NOT_SAID = frozenset((1008, 1009, 1017, 1072, 1079, 1082, 1090, 1091, 2029, 2096, 2148, 2239))
_OF_SOURCED_FILES = frozenset((2034, 2154))
_OF_TYPOGRAPHY = frozenset((1015, 1016, 1018, 1100, 1110, 1111, 1112))
_PARSING = 2000  # smaller codes are about what cannot be read
_SAID_LINE = re.compile(r"line ([0-9]{1,9}): ([^\n`]{1,200})(?:`([^\n]{0,300})')?")
_LONGEST_TOKEN = 6


BUSY = "busy"  # the code of a remark that the next look may not have


class NotCheckedError(Exception):
    """The program is missing, was stopped at a limit, or said nothing that can be read."""


class BusyError(NotCheckedError):
    """Too many are asked at this moment."""


def of_script(script: Script) -> list[Remark]:
    """Return what shellcheck and the shell itself say about a shell script that holds no private key."""
    text = script.text.replace("\r\n", "\n")
    if len(text.encode(errors="replace")) > CHECKED_BYTES:
        said = (
            f"{script.name} is too long for shellcheck, and only the rules of this page looked at it: move "
            "parts of it into helper files."
        )
        return [Remark(Level.ADVICE, "unchecked", said, script.name)]
    try:
        return [*_syntax(script, text), *_shellcheck(script, text)]
    except NotCheckedError as error:
        said = (
            f"shellcheck could not look at {script.name} ({error}): try again, or run it by hand."
        )
        code = BUSY if isinstance(error, BusyError) else "unchecked"
        return [Remark(Level.ADVICE, code, said, script.name)]


def _syntax(script: Script, text: str) -> Iterator[Remark]:
    reader = _READERS.get(script.interpreter)
    if reader is None:
        return
    _, errors = _run([reader, "-n"], text)
    found = _SAID_LINE.search(errors)
    if found:
        line, message, token = found.groups()
        # A long token is a piece of the script, and may be a secret.
        behind = f" {token}" if token and len(token) <= _LONGEST_TOKEN else ""
        said = (
            f"In {script.name}, {Path(reader).name} cannot read line {line} "
            f"({shown(message.strip())}{behind}): correct it, "
            "often by closing a quote or a bracket in a line above."
        )
        yield Remark(Level.ERROR, "syntax", said, script.name, line=int(line))


def _shellcheck(script: Script, text: str) -> Iterator[Remark]:
    dialect = _DIALECTS.get(script.interpreter)
    if dialect is None:
        return
    program = Path(sys.prefix) / "bin" / "shellcheck"
    options = ("--norc", "--format=json1", "--severity=info", f"--shell={dialect}", "-")
    answer, _ = _run([str(program), *options], text)
    left_out = set(_NOT_SAID)
    if any(command.name in (".", "source") for command in script.commands):
        left_out |= _OF_SOURCED_FILES
    if not text.isascii():
        left_out |= _OF_TYPOGRAPHY
    try:
        comments = json.loads(answer)["comments"]
        for each in comments:
            if each["code"] not in left_out:
                yield _remark(script, each["code"], each["level"], each["line"], each["message"])
    except (ValueError, KeyError, TypeError):
        raise NotCheckedError("its answer cannot be read") from None


def _remark(script: Script, code: int, level: str, line: int, message: str) -> Remark:
    words = shown(message).replace(". ", "; ").rstrip(".")
    how = Level.ADVICE if level == "info" else Level.WARNING
    how = Level.ERROR if level == "error" and code < _PARSING else how
    said = f"In {script.name}, shellcheck finds: {words} (SC{code}, see https://www.shellcheck.net/wiki/SC{code})."
    return Remark(how, f"SC{code}", said, script.name, line=line)


def _run(command: Sequence[str], text: str) -> tuple[str, str]:
    """Return what a program says to a text; NotCheckedError if it is missing or does not end in time."""
    if not _AT_ONCE.acquire(timeout=SECONDS):
        raise BusyError("too many are asked at the same time")
    try:
        return _ask(command, text)
    except OSError as error:
        raise NotCheckedError(error.strerror or type(error).__name__) from None
    finally:
        _AT_ONCE.release()


def _ask(command: Sequence[str], text: str) -> tuple[str, str]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_ENVIRONMENT,
        cwd="/",
        start_new_session=True,
        encoding="utf-8",
        errors="replace",
    )
    with process:
        try:
            with suppress(ProcessLookupError):
                _limit(process.pid)
            return process.communicate(text, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise NotCheckedError(f"it takes more than {SECONDS:g} s") from None
        finally:
            process.kill()


def _limit(pid: int) -> None:
    seconds = int(SECONDS) + 1
    for what, most in (
        (resource.RLIMIT_DATA, _MEMORY_BYTES),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.prlimit(pid, what, (most, most))
