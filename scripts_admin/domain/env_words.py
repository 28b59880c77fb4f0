"""What `env` makes of its arguments, as the env of coreutils does: which program it starts, with which PATH.

An interpreter line gives env one argument. So `#!/usr/bin/env bash -e` looks for a program "bash -e", and
`#!/usr/bin/env -S bash -e` splits that argument itself. Pure functions over bytes.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_SPACES = b" \t\n\v\f\r"
_VARIABLE = re.compile(rb"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_ESCAPES = {b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_PLAIN = frozenset((b'"', b"#", b"$", b"'", b"\\"))
_WITH_VALUE = {b"unset": b"u", b"chdir": b"C", b"split-string": b"S", b"argv0": b"a"}
_WITHOUT = {b"ignore-environment": b"i", b"null": b"0", b"debug": b"v"}
_MAY_HAVE_VALUE = (b"block-signal", b"default-signal", b"ignore-signal")
_OTHERS = {b"list-signal-handling": b"", b"help": b"help", b"version": b"version"}
_SPLITS = 10  # -S inside -S inside -S


class EnvError(Exception):
    """env itself would fail, or would start no program; the text completes "env ..."."""


@dataclass(slots=True)
class Started:
    """What env starts: the program, its arguments, the environment and the folder."""

    words: list[bytes]
    environment: dict[bytes, bytes]
    folder: bytes = b""


@dataclass(slots=True)
class _Reading:
    """The options read so far."""

    words: list[bytes]
    environment: Mapping[bytes, bytes]
    empty: bool = False
    unset: list[bytes] = field(default_factory=list)
    folder: bytes = b""
    splits: int = 0


def started(arguments: Sequence[bytes], environment: Mapping[bytes, bytes]) -> Started:
    """Return what env starts when it is called with these arguments; EnvError if it starts nothing."""
    reading = _Reading(list(arguments), environment)
    while reading.words and reading.words[0].startswith(b"-") and reading.words[0] != b"-":
        word = reading.words.pop(0)
        if word == b"--":
            break
        if word.startswith(b"--"):
            _long(reading, word[2:])
        else:
            _short(reading, word[1:])
    if reading.words[:1] == [b"-"]:
        reading.empty = True
        del reading.words[0]
    return _assigned(reading)


def _assigned(reading: _Reading) -> Started:
    made = {} if reading.empty else dict(reading.environment)
    for name in reading.unset:
        made.pop(name, None)
    words = reading.words
    while words and b"=" in words[0]:
        name, _, value = words.pop(0).partition(b"=")
        made[name] = value
    if not words:
        message = "names no program"
        raise EnvError(message)
    return Started(words, made, reading.folder)


def _short(reading: _Reading, letters: bytes) -> None:
    for at in range(len(letters)):
        letter, rest = letters[at : at + 1], letters[at + 1 :]
        if letter in (b"i", b"v"):
            reading.empty = reading.empty or letter == b"i"
        elif letter in (b"u", b"C", b"S", b"a"):
            _valued(reading, letter, rest or _next(reading, letter))
            return
        else:
            _refuse_letter(letter)


def _refuse_letter(letter: bytes) -> None:
    if letter == b"0":
        message = "does not take -0 together with a program"
    elif letter in _SPACES:
        message = "does not take a blank within its options: write #!/usr/bin/env -S"
    else:
        message = f"does not know the option -{ascii(letter)[2:-1]}"
    raise EnvError(message)


def _long(reading: _Reading, word: bytes) -> None:
    name, given, value = word.partition(b"=")
    known = (*_WITH_VALUE, *_WITHOUT, *_MAY_HAVE_VALUE, *_OTHERS)
    fitting = [one for one in known if one == name] or [o for o in known if o.startswith(name)]
    if len(fitting) != 1:
        message = f"does not know the option --{ascii(name)[2:-1]}"
        raise EnvError(message)
    option = fitting[0]
    if option in _WITH_VALUE:
        letter = _WITH_VALUE[option]
        _valued(reading, letter, value if given else _next(reading, letter))
    elif given and option not in _MAY_HAVE_VALUE:
        message = f"takes no value for --{option.decode()}"
        raise EnvError(message)
    elif option in (b"help", b"version"):
        message = f"only prints its {option.decode()}"
        raise EnvError(message)
    elif option in _WITHOUT:
        _short(reading, _WITHOUT[option])


def _next(reading: _Reading, letter: bytes) -> bytes:
    if not reading.words:
        message = f"needs a value for -{letter.decode()}"
        raise EnvError(message)
    return reading.words.pop(0)


def _valued(reading: _Reading, letter: bytes, value: bytes) -> None:
    if letter == b"C":
        reading.folder = value
    elif letter == b"u":
        if not value or b"=" in value:
            message = "cannot unset a variable of that name"
            raise EnvError(message)
        reading.unset.append(value)
    elif letter == b"S":
        reading.splits += 1
        if reading.splits > _SPLITS:
            message = "is told to split its arguments again and again"
            raise EnvError(message)
        reading.words[:0] = split(value, reading.environment)


def split(text: bytes, environment: Mapping[bytes, bytes]) -> list[bytes]:
    """Split the value of -S into words, with its quotes, escapes, comments and ${VARIABLES}."""
    splitter, at = _Splitter(text, environment), 0
    while at < len(text):
        at = splitter.take(at)
    if splitter.quote:
        message = "finds no closing quote in the value of -S"
        raise EnvError(message)
    return [bytes(word) for word in splitter.words]


class _Splitter:
    """The words so far. Each method that takes a part of the text returns the place behind it."""

    def __init__(self, text: bytes, environment: Mapping[bytes, bytes]) -> None:
        self.words: list[bytearray] = []
        self.quote = b""
        self._text, self._environment = text, environment
        self._between = True

    def _put(self, more: bytes) -> None:
        if self._between:
            self.words.append(bytearray())
            self._between = False
        self.words[-1].extend(more)

    def take(self, at: int) -> int:
        one = self._text[at : at + 1]
        if self.quote == b"'":
            return self._in_single(one, at + 1)
        if one == b"\\":
            return self._escape(at + 1)
        if one == b"$":
            return self._variable(at + 1)
        if one == b'"':
            self.quote = b"" if self.quote else one
            self._put(b"")
        elif self.quote:
            self._put(one)
        else:
            return self._bare(one, at + 1)
        return at + 1

    def _in_single(self, one: bytes, behind: int) -> int:
        following = self._text[behind : behind + 1]
        if one == b"\\" and following in (b"\\", b"'"):
            self._put(following)
            return behind + 1
        if one == b"'":
            self.quote = b""
        else:
            self._put(one)
        return behind

    def _bare(self, one: bytes, behind: int) -> int:
        if one in _SPACES:
            self._between = True
        elif one == b"#" and self._between:
            return len(self._text)
        elif one == b"'":
            self.quote = one
            self._put(b"")
        else:
            self._put(one)
        return behind

    def _variable(self, behind: int) -> int:
        name = _VARIABLE.match(self._text, behind)
        if name is None:
            message = "expands only ${NAME} in the value of -S"
            raise EnvError(message)
        if name[1] in self._environment:
            self._put(self._environment[name[1]])
        return name.end()

    def _escape(self, behind: int) -> int:
        letter = self._text[behind : behind + 1]
        if letter == b"c" and not self.quote:
            return len(self._text)
        if letter == b"_" and not self.quote:
            self._between = True
        elif letter == b"_":
            self._put(b" ")
        elif letter in _PLAIN:
            self._put(letter)
        elif letter in _ESCAPES:
            self._put(_ESCAPES[letter])
        else:
            message = f"does not know the sequence \\{ascii(letter)[2:-1]} in the value of -S"
            raise EnvError(message)
        return behind + 1
