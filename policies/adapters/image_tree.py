"""An opened image, as the process that holds it answers for it over its socket."""

import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from policies.adapters import image_opener
from policies.adapters.block_reader import Counts
from policies.domain.errors import (
    ImageDamagedError,
    ImageError,
    ImageGoneError,
    NoSuchPathError,
)
from policies.ports.images import About, Entry, Found, Listing, Part, Ran

ANSWER_SECONDS = 120.0
_KINDS = {"path": NoSuchPathError, "damaged": ImageDamagedError}


class HandsTree:
    """A tree whose words go to the hands."""

    def __init__(self, key: str, folder: Path) -> None:
        """Nothing is asked yet."""
        self.key, self._folder = key, folder

    def about(self) -> About:
        said = self._asked(do="about")
        with suppress(OSError, ValueError):
            state = json.loads((self._folder / image_opener.STATE).read_text())
            read, total = Counts.of(self._folder / image_opener.COUNTS)
            parts = tuple(Part(**each) for each in said.pop("parts"))
            return About(
                **said,
                parts=parts,
                blocks_read=read,
                blocks_of_snapshot=total,
                ends_at=state["ends_at"],
            )
        raise _gone()

    def listed(self, path: bytes = b"", after: bytes = b"", most: int = 500) -> Listing:
        said = self._asked(do="list", path=os.fsdecode(path), after=os.fsdecode(after), most=most)
        return Listing(_entries(said), bool(said["more"]))

    def stat(self, path: bytes) -> Entry:
        return _entry(self._asked(do="stat", path=os.fsdecode(path)))

    def read(self, path: bytes, most: int = -1, start: int = 0) -> Iterator[bytes]:
        if not start:
            return self._content(do="read", path=os.fsdecode(path), most=most)
        # A word of its own: a launcher that does not know it must not send the begin instead.
        return self._content(do="read from", path=os.fsdecode(path), most=most, start=start)

    def zipped(self, paths: Sequence[bytes]) -> Iterator[bytes]:
        return self._content(do="zip", paths=[os.fsdecode(each) for each in paths])

    def found(self, words: str, most: int = 200, path: bytes = b"") -> Found:
        said = self._asked(do="find", words=words, most=most, path=os.fsdecode(path))
        return Found(_entries(said), bool(said["complete"]))

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        uid: int,
        seconds: float,
        files: Mapping[str, bytes] | None = None,
    ) -> Ran:
        number = self.started(argv, env=env, uid=uid, seconds=seconds, files=files)
        return self._waited(number, seconds + 5, term=False)

    def started(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        uid: int,
        seconds: float,
        files: Mapping[str, bytes] | None = None,
    ) -> int:
        laid = {name: content.decode("latin-1") for name, content in (files or {}).items()}
        words: dict[str, Any] = {"argv": list(argv), "env": dict(env or {}), "uid": uid}
        return int(self._asked(do="start", **words, files=laid, seconds=seconds)["number"])

    def said(self, number: int) -> Ran:
        return _ran(self._asked(do="said", number=number))

    def ended(self, number: int, grace_seconds: float = 10.0) -> Ran:
        return self._waited(number, grace_seconds, term=True)

    def checked(self, seconds: float) -> Ran:
        return _ran(self._asked(seconds + ANSWER_SECONDS, do="check", seconds=seconds))

    def close(self) -> None:
        image_opener.close(self._folder)

    def _waited(self, number: int, seconds: float, *, term: bool) -> Ran:
        within = seconds + ANSWER_SECONDS
        return _ran(self._asked(within, do="wait", number=number, seconds=seconds, term=term))

    def _content(self, **words: object) -> Iterator[bytes]:
        """Return the content; it is checked now that there is any, and read when it is asked for."""
        channel = self._connected(ANSWER_SECONDS)
        try:
            _say(channel, words)
            stream = channel.makefile("rb")
            _told(stream.readline())
        except BaseException:
            channel.close()
            raise
        return _pieces(channel, stream)

    def _asked(self, within: float = ANSWER_SECONDS, **words: object) -> dict[str, Any]:
        with self._connected(within) as channel:
            _say(channel, words)
            with channel.makefile("rb") as stream:
                try:
                    return _told(stream.readline())
                except TimeoutError:
                    raise ImageError(
                        "The image does not answer: look at the server's load and at AWS's answers."
                    ) from None
                except OSError as error:
                    raise _gone() from error

    def _connected(self, seconds: float) -> socket.socket:
        channel = socket.socket(socket.AF_UNIX)
        channel.settimeout(seconds)
        try:
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:  # by the folder's descriptor: a socket's path may be 107 bytes long
                channel.connect(f"/proc/self/fd/{folder}/{image_opener.WORDS}")
            finally:
                os.close(folder)
        except OSError as error:
            channel.close()
            raise _gone() from error
        return channel


def _say(channel: socket.socket, words: Mapping[str, object]) -> None:
    try:
        channel.sendall(json.dumps(words).encode() + b"\n")
    except OSError as error:
        raise _gone() from error


def _told(line: bytes) -> dict[str, Any]:
    """Return the answer; the error in it, or that of an image that ended."""
    if not line:
        raise _gone()
    said: dict[str, Any] = json.loads(line)
    if "error" in said:
        text = str(said["error"])
        raise _KINDS.get(said["kind"], ImageError)(
            text[:1].upper() + text[1:].removesuffix(".") + "."
        )
    return said


def _pieces(channel: socket.socket, stream: Any) -> Iterator[bytes]:  # noqa: ANN401 - a buffered reader
    with channel, stream:
        while True:
            head = stream.read(4)
            if len(head) < 4:  # noqa: PLR2004 - a piece's length
                raise _gone()
            (length,) = struct.unpack(">I", head)
            if not length:
                return
            piece = stream.read(length)
            if len(piece) < length:
                raise _gone()
            yield piece


def _gone() -> ImageGoneError:
    return ImageGoneError("The image is closed: open the snapshot again.")


def _entries(said: Mapping[str, Any]) -> tuple[Entry, ...]:
    return tuple(_entry(each) for each in said["entries"])


def _entry(said: Mapping[str, Any]) -> Entry:
    names = {name: os.fsencode(said.get(name, "")) for name in ("path", "target")}
    return Entry(**{**said, **names})


def _ran(said: Mapping[str, Any]) -> Ran:
    texts = {name: str(said[name]).encode("latin-1") for name in ("stdout", "stderr")}
    return Ran(**{**said, **texts})
