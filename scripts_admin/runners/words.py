"""What the far side says, as words: typed lines behind our nonce, and the noise of the login before them. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

NOISE_BYTES = 4096  # what rc files print is kept for the message, up to here
LARGEST_OUTPUT_BYTES = 1024 * 1024  # nobody over there decides how much memory we need
_LARGEST = 2**31 - 1
LONGEST_LINE_BYTES = 4096  # no line of ours is longer; what is, is noise
MOST_ATTEMPTS = 20_000  # of after: each minute of the longest time to repeat it, and more than that
_MOST_CODE = 255  # of a process
_ARGUMENTS = ("0", "1")
_PRINTED = ("before", "after")
_STREAMS = ("stdout", "stderr")


class By(StrEnum):
    """Who began the thaw; NEVER: nothing was started."""

    WORKER = "worker"
    EOF = "eof"
    DEADLINE = "deadline"
    SILENCE = "silence"
    ORPHAN = "orphan"
    NEVER = "never"


class State(StrEnum):
    """What a second session found: the first one's wrapper over, live or dead, its folder absent, another boot."""

    OVER = "over"
    LIVE = "live"
    DEAD = "dead"
    ABSENT = "absent"
    REBOOTED = "rebooted"


@dataclass(frozen=True, slots=True)
class Ready:
    """Both scripts stand at their gates."""

    pid: int
    boot: str
    uptime: float
    folder: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was started, and nothing will be; `why` ends a sentence ("late-go" answers a `go` that came late)."""

    why: str


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping."""

    number: int
    uptime: float


@dataclass(frozen=True, slots=True)
class Before:
    """The end of before: its exit code (128 + n for signal n), "timeout", or "cut" by the thaw."""

    code: int | Literal["timeout", "cut"]
    uptime: float


@dataclass(frozen=True, slots=True)
class Thawing:
    """The thaw has begun, named by the first to begin it; only "worker" may become `application`."""

    by: By
    argument: str
    uptime: float


@dataclass(frozen=True, slots=True)
class After:
    """The end of an attempt of after."""

    attempt: int
    code: int | Literal["timeout", "cut"]
    by: By


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing more will run; "never": nothing ever ran."""

    by: By


@dataclass(frozen=True, slots=True)
class Look:
    """What a second session found."""

    state: State
    boot: str
    uptime: float


@dataclass(frozen=True, slots=True)
class Out:
    """One output: its first bytes, how many were cut, its last bytes. `phase` is "end" behind the last one."""

    phase: str
    attempt: int
    stream: str
    head: bytes
    cut: int
    tail: bytes


Word = Ready | Refused | Pong | Before | Thawing | After | Over | Look | Out


class Reader:
    """Turns the bytes of the channel into words; what comes before our first line is noise of the login."""

    def __init__(self, nonce: str) -> None:
        """`nonce` is that of the order."""
        self._prefix = f"n2w1 {nonce} ".encode()
        self._buffer = bytearray()
        self._awaited: tuple[Out, int, int] | None = (
            None  # and the sizes of all its bytes and of its head
        )
        self.noise = b""  # lines that are not ours, for a message; bounded

    def feed(self, chunk: bytes) -> Iterator[Word]:
        """Yield the words that are complete."""
        self._buffer += chunk
        while True:
            word = self._bytes() if self._awaited else self._line()
            if word is None:
                return
            if not isinstance(word, bytes):
                yield word

    @property
    def pending(self) -> bytes:
        """What has come of a line, or of an output, that has not ended."""
        return bytes(self._buffer)

    def rest(self) -> bytes:
        """Return the noise, and the line that has not ended: what a login that never came to our line has said."""
        return (self.noise + bytes(self._buffer))[-NOISE_BYTES:]

    def _bytes(self) -> Word | None:
        if self._awaited is None or len(self._buffer) < self._awaited[1]:
            return None
        out, size, head = self._awaited
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._awaited = None
        return replace(out, head=data[:head], tail=data[head:])

    def _line(self) -> Word | bytes | None:
        end = self._buffer.find(b"\n")
        if end < 0 and len(self._buffer) <= LONGEST_LINE_BYTES:
            return None
        if end < 0:
            self._note(bytes(self._buffer[:-LONGEST_LINE_BYTES]))
            del self._buffer[:-LONGEST_LINE_BYTES]
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        at = line.find(self._prefix)  # a noisy login may leave its last line open
        try:
            if at >= 0:
                text = line[at + len(self._prefix) :].decode("utf-8", "replace")
                # No row keeps a NUL, and a terminal obeys an escape.
                fields = "".join(one if one.isprintable() else "�" for one in text).split(" ")
                if fields[0] != "out":
                    return _WORDS[fields[0]](fields[1:])
                self._awaited = _out(fields[1:])
                return b""
        except (KeyError, ValueError, IndexError):
            pass
        self._note(line + b"\n")
        return b""

    def _note(self, noise: bytes) -> None:
        self.noise = (self.noise + noise)[-NOISE_BYTES:]


def words(text: bytes, nonce: str) -> list[Word]:
    """Return the words of a whole output, such as SSM's; one that was cut off is left out."""
    return list(Reader(nonce).feed(text))


def _out(fields: list[str]) -> tuple[Out, int, int]:
    name, *numbers = fields
    size, head, cut = (int(number) for number in numbers)
    if not 0 <= head <= size <= LARGEST_OUTPUT_BYTES or cut < 0:
        raise ValueError(fields)
    if name == "end":
        return Out(name, 0, "", b"", cut, b""), size, head
    phase, attempt, stream = name.split(".")
    if phase not in _PRINTED or stream not in _STREAMS:
        raise ValueError(fields)
    return Out(phase, _attempt(attempt), stream, b"", cut, b""), size, head


def _attempt(text: str) -> int:
    return _within(int(text), 1, MOST_ATTEMPTS)


def _within(number: int, least: int, most: int) -> int:
    if not least <= number <= most:
        raise ValueError(number)
    return number


def _code(text: str) -> int | Literal["timeout", "cut"]:
    if text == "timeout":
        return "timeout"
    return "cut" if text == "cut" else _within(int(text), 0, _MOST_CODE)


def _argument(text: str) -> str:
    if text not in _ARGUMENTS:
        raise ValueError(text)
    return text


def _plain(text: str) -> str:
    """Return the name of a boot or a folder; a second session's program holds it, and is ASCII."""
    if not (text.isascii() and text.isprintable()):
        raise ValueError(text)
    return text


def _number(text: str) -> int:
    """Return a number of a process or a ping; ValueError for one that no column can keep."""
    return _within(int(text), 0, _LARGEST)


def _uptime(text: str) -> float:
    """Return a time that can be reckoned with; ValueError for one that no clock shows."""
    found = float(text)
    if not 0.0 <= found <= _LARGEST:  # nor is it so of nan
        raise ValueError(text)
    return found


_WORDS: dict[str, Callable[[list[str]], Word]] = {
    "ready": lambda of: Ready(_number(of[0]), _plain(of[1]), _uptime(of[2]), _plain(of[3])),
    "refused": lambda of: Refused(" ".join(of)),
    "pong": lambda of: Pong(_number(of[0]), _uptime(of[1])),
    "before": lambda of: Before(_code(of[0]), _uptime(of[1])),
    "thawing": lambda of: Thawing(By(of[0]), _argument(of[1]), _uptime(of[2])),
    "after": lambda of: After(_attempt(of[0]), _code(of[1]), By(of[2])),
    "over": lambda of: Over(By(of[0])),
    "look": lambda of: Look(State(of[0]), of[1], _uptime(of[2])),
}
