"""Whether a file can be executed: judged as the kernel will judge it for the script's account.

The judge goes the way that exec goes: the file, its interpreters, what env starts, binaries and their loaders.
On that way it asks for each right as the account, and only then looks into the file.
"""

import errno
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scripts_admin.domain import env_words, first_bytes, handlers, machines
from scripts_admin.domain.env_words import EnvError
from scripts_admin.domain.first_bytes import Elf, Shebang
from scripts_admin.domain.handlers import Handler
from scripts_admin.domain.shown import shown
from scripts_admin.folders.account import Account
from scripts_admin.guard.access import Answer, Right

_STARTS = 20  # env may start a script that starts env: stop here
_WITHOUT_PATH = b"/bin:/usr/bin"  # where execvp looks when env took PATH away
_SEARCH_ON = (errno.EACCES, errno.ENOENT, errno.ENOTDIR)
# Python's options; -c and -m would take the script's path for a command, and - reads its lines from elsewhere.
_PYTHON = re.compile(rb"python[0-9.]*")
_PYTHONS_OPTIONS = re.compile(rb"-(?=.)[bBdEiIOPqRsSuvx]*([WX].+)?")
# What a shell reads as options, by its real name. Not those that need one more word (-o), run nothing (-n), or take
# the script's path for a command (-c) or its lines from elsewhere (-s).
_OPTIONS = {
    b"bash": re.compile(rb"--?|[-+][abefhiklmpruvxBCEHPT]+|--[a-z-]+"),
    b"dash": re.compile(rb"--?|[-+][abefilmpuvxCEIV]+"),
    b"ksh": re.compile(rb"--?|[-+][abefhikmpruvxBCEG]+"),
    b"mksh": re.compile(rb"--?|[-+][abefhiklmpruvxCUX]+"),
    b"zsh": re.compile(rb"--?|[-+][0-9A-Za-bd-mp-rt-z]+|--[a-z-]+"),
}
_LOOKED_AT_BY_BASH = 80
# A header can name any place and size; nothing that an exec reads of it is so far, or so large.
_MOST_BYTES = 4 * 1024 * 1024
_LAST_START = 2**62
_HANDLERS = Path("/proc/sys/fs/binfmt_misc")
_COMPATIBLE = Path("/proc/sys/abi/vsyscall32")  # only a kernel that runs i386 has it


class CannotRunError(Exception):
    """The file cannot run: a sentence without its subject, and exec's errno (0: exec succeeds, and then it fails)."""

    def __init__(self, sentence: str, error: int = 0) -> None:
        """`sentence` begins with a verb."""
        super().__init__(sentence)
        self.sentence, self.error = sentence, error


@dataclass(frozen=True, slots=True)
class _World:
    """What a program is started with."""

    environment: Mapping[bytes, bytes]
    folder: bytes


def why_not(script: Path, account: Account, environment: Mapping[str, str]) -> str:
    """Return a sentence that says why the account cannot run the script in its folder, or "" if it can.

    AccountLostError if nobody could answer as the account.
    """
    world = _World(
        {os.fsencode(name): os.fsencode(value) for name, value in environment.items()},
        os.fsencode(script.parent),
    )
    try:
        _Judge(account, script).start(os.fsencode(script), (), world)
    except CannotRunError as problem:
        return problem.sentence
    return ""


class _Judge:
    """One script on its way through exec."""

    def __init__(self, account: Account, script: Path) -> None:
        self._account, self._script = account, os.fsencode(script)
        self._name = shown(script.name)
        self._starts = 0

    def start(self, path: bytes, arguments: Sequence[bytes], world: _World) -> None:
        """Do as execve does; CannotRunError where it would fail, or where what it starts would."""
        self._starts += 1
        if self._starts > _STARTS:
            raise self._wrong("starts itself again and again", "correct its first line")
        argument: bytes | None = None
        for _ in range(first_bytes.DEEPEST + 1):
            self._must(path, Right.EXECUTE)
            found = self._look(path)
            if not isinstance(found, Shebang | Handler):
                break
            if not (isinstance(found, Handler) and found.gets_an_open_file):
                self._must(path, Right.READ)
            if isinstance(found, Handler) and found.is_open:
                return
            argument = found.argument if isinstance(found, Shebang) else None
            given = () if argument is None else (argument,)
            path, arguments = self._within(found.interpreter, world), (*given, path, *arguments)
        else:
            line = "has too many interpreters that are scripts themselves"
            raise self._wrong(line, "name a program in its first line", errno.ELOOP)
        if isinstance(found, Elf):
            with suppress(
                OSError
            ):  # the server may not look into it: the account may run it, and that is all
                self._binary(path, found)
        self._program(path, argument, arguments, world)

    def _within(self, name: bytes, world: _World) -> bytes:
        return os.path.join(world.folder, name)  # noqa: PTH118 - bytes

    def _called(self, path: bytes) -> str:
        return self._name if path == self._script else f"{self._name} needs {shown(path)}, which"

    def _wrong(self, what: str, advice: str, error: int = 0) -> CannotRunError:
        return CannotRunError(f"{self._name} {what}: {advice}.", error)

    def _must(self, path: bytes, right: Right) -> None:
        answer = self._account.ask([(path, right)])[0]
        if answer.error:
            raise CannotRunError(self._refused(path, right, answer), answer.error)

    def _refused(self, path: bytes, right: Right, answer: Answer) -> str:
        name, who = self._name, self._account.name
        if answer.closed:
            closed = shown(answer.closed)
            return f"{who} may not enter {closed}, so {name} cannot run: give it the x permission there."
        if answer.noexec:
            place = f"{self._called(path)} is on a file system that is mounted noexec"
            return f"{place}: move the scripts, or remount it with exec."
        if path != self._script:
            return self._interpreter_refused(path, answer)
        if answer.error != errno.EACCES:
            return f"{name} cannot be used by {who} ({os.strerror(answer.error)}): correct it."
        if right == Right.READ:
            return f"{name} cannot be read by {who}, but its interpreter must read it: run chmod +r on it."
        return f"{name} is not executable for {who}: run chmod +x on it."

    def _interpreter_refused(self, path: bytes, answer: Answer) -> str:
        if path.endswith(b"\r"):
            return f"{self._name} has Windows line ends (CRLF), so its interpreter is not found: convert it to LF."
        named = f"{self._name} names the interpreter {shown(path)}, which"
        if answer.error in (errno.ENOENT, errno.ENOTDIR):
            return f"{named} is not installed: install it or correct the line."
        if answer.error == errno.EACCES:
            return f"{named} {self._account.name} may not run: correct the line or its permissions."
        return f"{named} cannot be used ({os.strerror(answer.error)}): correct the line."

    def _look(self, path: bytes) -> Shebang | Elf | Handler | None:
        """Return what the file is; None if even the server cannot look into it. ENOEXEC is raised."""
        try:
            head = _bytes_of(path, 0, first_bytes.HEAD_BYTES)
        except OSError:
            return None
        found = handlers.of(path, head, _handlers()) or first_bytes.read(head)
        if found is None:
            raise CannotRunError(f"{self._called(path)} {_why_no_program(head)}", errno.ENOEXEC)
        return found

    def _binary(self, path: bytes, binary: Elf) -> None:
        self._fits(path, binary, errno.ENOEXEC)
        table = _bytes_of(path, binary.table.start, binary.table.size)
        if len(table) < binary.table.size:
            raise self._damaged(path)
        span = first_bytes.loader_span(binary, table)
        if span is None:
            return
        loader = first_bytes.loader_name(_bytes_of(path, span.start, span.size))
        if loader is None:
            raise self._damaged(path)
        answer = self._account.ask([(loader, Right.EXECUTE)])[0]
        if answer.error:
            why = "is not installed" if answer.error == errno.ENOENT else "cannot be used"
            raise CannotRunError(
                f"{self._called(path)} needs the loader {shown(loader)}, which {why}: install it, or use a "
                "program that was made for this system.",
                answer.error,
            )
        found = first_bytes.read(_bytes_of(loader, 0, first_bytes.HEAD_BYTES))
        if not isinstance(found, Elf):
            raise CannotRunError(
                f"{self._called(path)} has a damaged loader: install it again.", errno.ELIBBAD
            )
        self._fits(loader, found, errno.ELIBBAD)

    def _damaged(self, path: bytes) -> CannotRunError:
        what = f"{self._called(path)} is a damaged program: install it again."
        return CannotRunError(what, errno.ENOEXEC)

    def _fits(self, path: bytes, binary: Elf, error: int) -> None:
        if not machines.runs(binary, platform.machine(), runs_smaller=_runs_smaller()):
            raise CannotRunError(
                f"{self._called(path)} is a program for another machine ({machines.name(binary)}; this one is "
                f"{platform.machine()}): install the one for this machine.",
                error,
            )

    def _program(
        self, path: bytes, argument: bytes | None, arguments: Sequence[bytes], world: _World
    ) -> None:
        """Judge what the program makes of its arguments, for the programs that are known."""
        name = os.path.basename(path)  # noqa: PTH119 - bytes
        if name == b"env" and arguments:
            self._env(arguments, world)
        elif name == b"bash" and arguments and _looks_binary(arguments[-1]):
            raise self._wrong(
                "has a NUL byte in its first line, so bash takes it for a binary", "remove it"
            )
        elif argument is not None and not _takes(path, argument):
            what = f"gives {shown(name)} the one argument '{shown(argument)}', which it cannot use as options"
            raise self._wrong(what, f"write #!/usr/bin/env -S {shown(name)} and the options")

    def _env(self, arguments: Sequence[bytes], world: _World) -> None:
        try:
            begun = env_words.started(arguments, world.environment)
        except EnvError as problem:
            raise self._wrong(
                f"cannot run, because env {problem}", "correct its first line"
            ) from None
        folder = self._within(begun.folder, world) if begun.folder else world.folder
        if begun.folder and self._account.ask([(folder, Right.ENTER)])[0].error:
            what = f"cannot run, because env cannot change to {shown(begun.folder)}"
            raise self._wrong(what, "correct its first line")
        self._search(begun.words, _World(begun.environment, folder))

    def _search(self, words: Sequence[bytes], world: _World) -> None:
        """Start a program as execvp does: the first of its name in PATH that can be started."""
        program, arguments = words[0], words[1:]
        denied: CannotRunError | None = None
        for candidate in _candidates(program, world):
            try:
                self.start(candidate, arguments, world)
            except CannotRunError as problem:
                if problem.error == errno.ENOEXEC and _is_text(candidate):
                    self.start(b"/bin/sh", (candidate, *arguments), world)
                    return
                if problem.error not in _SEARCH_ON:
                    raise
                denied = problem if problem.error == errno.EACCES else denied
            else:
                return
        raise denied or self._not_found(program, world)

    def _not_found(self, program: bytes, world: _World) -> CannotRunError:
        what = f"names the interpreter {shown(program)}, which"
        if b"/" in program:
            return self._wrong(
                f"{what} is not installed", "install it or correct the line", errno.ENOENT
            )
        place = shown(world.environment.get(b"PATH", _WITHOUT_PATH))
        if b" " in program:
            advice = "env takes everything behind it as one name, so write #!/usr/bin/env -S and the words"
            return self._wrong(f"{what} is not in {place}", advice, errno.ENOENT)
        return self._wrong(f"{what} is not in {place}", "install it there", errno.ENOENT)


def _candidates(program: bytes, world: _World) -> Iterator[bytes]:
    places = [b""] if b"/" in program else world.environment.get(b"PATH", _WITHOUT_PATH).split(b":")
    for place in places:
        yield os.path.join(world.folder, place, program)  # noqa: PTH118 - bytes


def _is_text(path: bytes) -> bool:
    """Tell whether a shell that gets this file, which the kernel refused, would run it."""
    with suppress(OSError):
        head = _bytes_of(path, 0, first_bytes.HEAD_BYTES)
        return bool(head) and b"\0" not in head
    return False


def _takes(path: bytes, argument: bytes) -> bool:
    """Tell whether the interpreter takes the argument for options. Only shells and Python are known."""
    name = os.path.basename(os.path.realpath(path))  # noqa: PTH119 - bytes
    options = _PYTHONS_OPTIONS if _PYTHON.fullmatch(name) else _OPTIONS.get(name)
    return options is None or bool(options.fullmatch(argument))


def _looks_binary(path: bytes) -> bool:
    """Tell whether bash would refuse to read the file, by the first bytes of its first line."""
    with suppress(OSError, ValueError):
        return b"\0" in _bytes_of(path, 0, _LOOKED_AT_BY_BASH).split(b"\n", 1)[0]
    return False


def _why_no_program(head: bytes) -> str:
    if not head:
        return "is empty and has no interpreter line: begin it with #!/bin/bash or similar."
    if head.startswith(b"#!"):
        if head[2:].split(b"\n", 1)[0].strip(b" \t\0"):
            return "has an interpreter line that is too long for the kernel: name a shorter path."
        return "has an interpreter line that names nothing: begin it with #!/bin/bash or similar."
    if head.startswith(b"\x7fELF"):
        return "is a damaged program, or made for another machine: install it again."
    if head.startswith(b"\xef\xbb\xbf"):
        return "begins with a byte order mark, so it has no interpreter line: save it as UTF-8 without one."
    return "has no interpreter line: begin it with #!/bin/bash or similar."


def _bytes_of(path: bytes, start: int, size: int) -> bytes:
    """Read a part of a file; what is no regular file is never waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, min(size, _MOST_BYTES), start) if start <= _LAST_START else b""
    finally:
        os.close(descriptor)


def _handlers() -> Iterator[Handler]:
    """Yield the handlers that are registered; none where binfmt_misc is not mounted or switched off."""
    with suppress(OSError):
        names = set(os.listdir(_HANDLERS)) - {"register", "status"}  # noqa: PTH208 - names only
        if names and (_HANDLERS / "status").read_bytes().strip() == b"enabled":
            for name in names:
                found = handlers.read((_HANDLERS / name).read_bytes())
                if found is not None:
                    yield found


def _runs_smaller() -> bool:
    """Tell whether this kernel runs binaries of 32 bits, as far as it says so."""
    return _COMPATIBLE.exists() or platform.machine() != "x86_64"
