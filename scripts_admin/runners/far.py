"""The far side of a remote script, as bytes and words: its program, the command that starts it, what it says.

Pure: no Django, no network, nothing is read but the wrapper's text beside this file. The carrier sends `launch(text)`
as the command, then `text`, and nothing more until `Ready` or `Refused` is heard. A second session does the same
with a program of mode "look". SSM sends `document(text)` as the text of its command.

Guarantee: a script arrives byte for byte, in any language; what cannot be carried is refused with a sentence.
"""

import base64
import gzip
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from scripts_admin.domain import first_bytes
from scripts_admin.runners.words import (
    LONGEST_LINE_BYTES,
    NOISE_BYTES,
    After,
    Before,
    By,
    Look,
    Out,
    Over,
    Pong,
    Reader,
    Ready,
    Refused,
    State,
    Thawing,
    Word,
    words,
)

__all__ = [
    "BYE",
    "FETCH",
    "GRACE_SECONDS",
    "HALF_BYTES",
    "LONGEST_LINE_BYTES",
    "NOISE_BYTES",
    "PATH",
    "STARTED_BEFORE",
    "After",
    "Before",
    "By",
    "Carried",
    "Installed",
    "Look",
    "Mode",
    "Order",
    "Out",
    "Over",
    "Pong",
    "Reader",
    "Ready",
    "Refused",
    "Script",
    "Second",
    "State",
    "Thawing",
    "UnfitError",
    "Word",
    "document",
    "go",
    "interpreter_of",
    "launch",
    "ping",
    "program",
    "thaw",
    "without_retries",
    "words",
    "wrapper",
]

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HALF_BYTES = 512 * 1024  # of each stream, the first and the last so many bytes are kept
GRACE_SECONDS = 2.0  # a `go` is valid for so long after the moment of the pong that it names
FETCH, BYE = b"fetch\n", b"bye\n"
STARTED_BEFORE = (
    "this run was started here before"  # the wrapper's words: another session made the run's folder
)

Mode = Literal["ssh", "look", "ssm-a", "ssm-b"]
# The wrapper is one text; its parts are one subject each, the last one begins.
_PARTS = (*("setting", "place", "processes", "window", "outputs", "loop", "second", "begin"),)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]*")
_NONCE = re.compile(r"[A-Za-z0-9]{16,64}")


class UnfitError(ValueError):
    """The script cannot be run on an instance; the error's text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Carried:
    """A script of the owner's folder, which the program brings along."""

    name: str
    text: bytes


@dataclass(frozen=True, slots=True)
class Installed:
    """A script that lies on the instance, executed as it is."""

    path: str


Script = Carried | Installed


@dataclass(frozen=True, slots=True)
class Order:
    """Everything that the far side is told. Times are in seconds.

    `nonce` names the run on this instance: the same nonce never runs before twice. `environment` are the N2W_
    variables of contract 4; N2W_BY is set here, and the far side itself sets N2W_PHASE, _ATTEMPT, _TIMEOUT_SECONDS
    and _SECONDS_LEFT.
    """

    nonce: str
    before: Script | None = None
    after: Script | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    before_timeout: float = 30.0
    after_timeout: float = 30.0
    max_freeze: float = 60.0
    silence: float = 10.0
    gate: float = 600.0
    retry: float = 3600.0
    grace: float = 1.0  # from TERM to KILL
    last: float = (
        1.0  # from KILL to the thaw, if what was killed does not go (it may hang in the kernel)
    )
    tick: float = (
        1.0  # the far side looks at its clock at least so often, and at each moment that is due
    )


@dataclass(frozen=True, slots=True)
class Second:
    """What a second session knows of the first, and what it wants.

    `urge`: a live wrapper that has not begun to thaw is told to, and replaced if it does not hear. Without it
    (the drill), a live wrapper is only waited for. `absent`: what a missing folder means on the same boot: before
    may have started ("after": run it once), or it never did and never shall ("tombstone").
    """

    folder: str = ""
    boot: str = ""
    urge: bool = True
    absent: Literal["after", "tombstone"] = "after"
    argument: Literal["0", "1"] = "0"
    by: Literal["worker", "orphan"] = "orphan"
    wait: float = 60.0  # stop following a live wrapper after so long; ask again later
    show_bytes: int = 3000  # SSM's second command prints so much of each end of each output


@cache
def wrapper() -> bytes:
    """Return the wrapper's text as it is sent.

    The spool keeps a copy: an upgrade must not change what can be spoken to.
    """
    lines = source().splitlines(keepends=True)
    return b"".join(line for line in lines if not line.lstrip().startswith(b"#"))


def source() -> bytes:
    """Return the wrapper's text with its comments, in one piece."""
    folder = Path(__file__).with_name("wrapper")
    return b"".join((folder / f"{part}.sh").read_bytes() for part in _PARTS)


def program(
    order: Order, mode: Mode = "ssh", second: Second | None = None, text: bytes | None = None
) -> bytes:
    """Return the bytes that the far side evaluates: assignments, both scripts, the wrapper (`text`, or ours).

    Raises UnfitError if a script cannot run there.
    """
    if not _NONCE.fullmatch(order.nonce):
        message = f"a nonce has 16 to 64 letters and digits: {order.nonce!r}"
        raise ValueError(message)
    by_ssm = mode in {"ssm-a", "ssm-b"}
    lines = [
        f"n2w_mode={mode}",
        f"n2w_nonce={order.nonce}{_OF_INSTANCE if by_ssm else ''}",
        f"n2w_path={PATH}",
        f"n2w_half={HALF_BYTES}",
        *_times(order, mode),
        *_second(second or Second()),
        *_HOME,
        _environment({**order.environment, "N2W_BY": "ssm" if by_ssm else "ssh"}),
        *_script("before", order.before if mode in {"ssh", "ssm-a"} else None),
        *_script("after", order.after),
    ]
    return "\n".join([*lines, ""]).encode("ascii") + (text or wrapper())


def launch(text: bytes, *, sudo: bool = False) -> str:
    """Return the command that reads the program from its standard input; any login shell understands it."""
    return f"{'sudo -n ' if sudo else ''}sh -c 'eval \"$(head -c {len(text)})\"'"


def document(text: bytes, *, packed: bool = False) -> str:
    """Return the program as a shell script without an input, as SSM runs it: SSM would expand {{…}} in plain text.

    Packed, it takes a third of the room, and the instance needs gzip. The same program gives the same text.
    """
    carried = base64.b64encode(gzip.compress(text, mtime=0) if packed else text).decode()
    unpacked = "base64 -d | gzip -dc" if packed else "base64 -d"
    return (
        f"n2w_text={carried}\nn2w_unpacked() {{ {unpacked}; }}\n"
        'eval "$(printf %s "$n2w_text" | n2w_unpacked)"\n'
    )


def without_retries(text: bytes) -> bytes:
    """Return a program, or a document, whose after runs once, whatever comes of it."""
    return b"export n2w_retry=0\n" + text


def _times(order: Order, mode: Mode) -> Iterator[str]:
    silence = order.silence if mode in {"ssh", "look"} else 0.0
    for name, seconds in (
        ("before_timeout", order.before_timeout),
        ("after_timeout", order.after_timeout),
        ("freeze", order.max_freeze),
        ("silence", silence),
        ("gate", order.gate),
        ("grace", order.grace),
        ("last", order.last),
        ("tick", order.tick),
    ):
        yield f"n2w_{name}={round(seconds * 100)}"
    yield f': "${{n2w_retry:={round(order.retry * 100)}}}"'


def _second(second: Second) -> Iterator[str]:
    yield f': "${{n2w_folder:={second.folder}}}"' if _plain(second.folder) else "n2w_folder=''"
    yield f"n2w_boot={shlex.quote(second.boot)}"
    yield f"n2w_urge={int(second.urge)}"
    yield f"n2w_absent={second.absent}"
    yield f"n2w_argument={second.argument}"
    yield f"n2w_by={second.by}"
    yield f"n2w_wait={round(second.wait * 100)}"
    yield f"n2w_show={second.show_bytes}"


def _plain(folder: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9/_.-]*", folder) is not None


def _environment(environment: Mapping[str, str]) -> str:
    words = " ".join(
        _quoted(f"{name}={value}".encode()) for name, value in sorted(environment.items())
    )
    fixed = f'PATH={PATH} HOME="${{HOME:-$(n2w_home)}}" USER="$(id -un)" LANG=C.UTF-8 {_BY_AGENT}'
    return f'n2w_with() {{ exec env -i $signals {fixed} {words} "$@"; }}'


# SSM's agent may have no HOME: it is a service.
_HOME = (
    'n2w_home() { n2w_at=$(eval "echo ~$(id -un)") 2>/dev/null',
    'case $n2w_at in /*) echo "$n2w_at" ;; *) echo / ;; esac; }',
)
# SSM's agent names the instance; without a name in the order, many instances can share one text. The nonce that the
# instance uses, in its lines too, is that of the order and the instance's id.
_OF_INSTANCE = "${AWS_SSM_INSTANCE_ID-}"
_BY_AGENT = '${AWS_SSM_INSTANCE_ID:+"N2W_INSTANCE_ID=$AWS_SSM_INSTANCE_ID"}'


def _quoted(value: bytes) -> str:
    """Quote for the shell; what is not plain ASCII goes through printf, which every shell reads alike."""
    if value.isascii() and b"\0" not in value:
        return shlex.quote(value.decode())
    return f"\"$(printf '{_format(value)}')\""


def _format(text: bytes) -> str:
    """Return a format of printf, within single quotes, that writes these bytes."""
    return "".join(_FORMATS[byte] for byte in text)


def _format_of(byte: int) -> str:
    char = chr(byte)
    if char == "%":
        return "%%"
    plain = char == "\n" or (char.isascii() and char.isprintable() and char not in "'\\")
    return char if plain else f"\\{byte:03o}"


_FORMATS = [_format_of(byte) for byte in range(256)]


def _script(phase: str, script: Script | None) -> Iterator[str]:
    kind, text, name, interpreter, option = "", "", "", "", ""
    if isinstance(script, Installed):
        kind, text = "path", _quoted_path(phase, script.path)
    elif isinstance(script, Carried):
        program_of = interpreter_of(phase, script)
        kind, text, name = "text", f"'{_format(script.text)}'", script.name
        interpreter = _quoted(program_of.interpreter)
        option = _quoted(program_of.argument or b"")
    for key, value in (
        ("", text),
        ("_kind", kind),
        ("_name", name),
        ("_interpreter", interpreter),
        ("_option", option),
    ):
        yield f"n2w_{phase}{key}={value}"


def _quoted_path(phase: str, path: str) -> str:
    if not path.startswith("/") or "\0" in path or "\n" in path:
        message = f"{phase}: the path on the instance must begin with /: {path!r}"
        raise UnfitError(message)
    return _quoted(path.encode())


def interpreter_of(phase: str, script: Carried) -> first_bytes.Shebang:
    """Return what runs the script; UnfitError if it cannot be carried over."""
    what = f"{phase}: {script.name}"
    if not _NAME.fullmatch(script.name):
        message = f"{what}: a script that is carried over has a name of A-Z a-z 0-9 . _ @ + -"
        raise UnfitError(message)
    found = first_bytes.read(script.text)
    if isinstance(found, first_bytes.Elf):
        message = f"{what} is a binary. Install it on the instance and enter its path there."
        raise UnfitError(message)
    if b"\0" in script.text:
        message = f"{what} holds a NUL byte, so it is no text. Install it on the instance and enter its path there."
        raise UnfitError(message)
    if found is None:
        message = f"{what} does not begin with #! and the path of its interpreter. Add the line, such as #!/bin/sh."
        raise UnfitError(message)
    if b"\r" in script.text.partition(b"\n")[0]:
        message = f"{what} has Windows line ends (CRLF). Convert it to Unix line ends."
        raise UnfitError(message)
    return found


# --- what we say -----------------------------------------------------------------------------------


def ping(number: int) -> bytes:
    """Ask for a pong; sent each 2 s, it is also what tells the far side that we live."""
    return f"ping {number}\n".encode()


def go(uptime: float) -> bytes:
    """Open the gate of before. `uptime` is that of a pong no older than 1 s, by the far side's own clock."""
    return f"go {uptime + GRACE_SECONDS:.2f}\n".encode()


def thaw(argument: Literal["0", "1"]) -> bytes:
    """Open the gate of after."""
    return f"thaw {argument}\n".encode()
