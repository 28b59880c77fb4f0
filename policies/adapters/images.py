"""Snapshots opened as images by this server: each by a process of its own (`image_opener`), which outlives its caller.

Under `N2W_HOME/images` is a folder for each, by its key. Its lock is held by the process; what has no holder is reaped.
"""

import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from n2wbackup.lib import home
from policies.adapters import image_opener
from policies.adapters.image_tree import HandsTree
from policies.domain import errors
from policies.domain.errors import (
    BackupError,
    ImageError,
    ImageGoneError,
    ImageNotPossibleError,
)
from policies.ports.images import Order, Tree
from scripts_admin.guard import launching

# More than people may have open (N2W_OPENED_SNAPSHOTS): proofs need some, too.
MOST_OPEN = 12
ANSWER_SECONDS = image_opener.OPEN_SECONDS + 30
_PROJECT = Path(__file__).resolve().parents[2]
_PROGRAMS = (
    ("/usr/bin/nbdkit", "nbdkit and nbdkit-plugin-python"),
    ("/usr/bin/nbdfuse", "libnbd-bin"),
    ("/usr/bin/fusermount3", "fuse3"),
)


class HomeImages:
    """The images of this server."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: where they are; that of the server's home if it is not named."""
        self._given = folder

    @property
    def _folder(self) -> Path:
        return self._given or home.images()

    def why_not(self) -> str:
        for path, package in _PROGRAMS:
            if not Path(path).exists():
                return f"{path} is missing on this server: install the package {package}."
        if os.geteuid() != 0 and (why := launching.why_not()):
            return f"Only root opens snapshots, and {why}."
        return ""

    def opened(self, order: Order) -> Tree:
        return self.waited(order, self.begun(order))

    def begun(self, order: Order) -> "subprocess.Popen[bytes]":
        """Begin to open a snapshot; `waited` returns its tree."""
        lacking = self.why_not()
        if lacking:
            raise ImageNotPossibleError(lacking)
        with self._beginning():
            if len({*self._all_keys()} - {order.key}) >= MOST_OPEN:
                raise ImageNotPossibleError(
                    f"{MOST_OPEN} snapshots are open on this server, which is the most: close one, or try again later."
                )
            folder = self._folder / order.key
            image_opener.close(
                folder
            )  # whoever opened it under this key before may have been killed
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            (folder / image_opener.OVERLAY).mkdir(mode=0o700)
            # The process gets the lock that is held here: at no moment the folder is nobody's.
            lock = os.open(folder / image_opener.LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                return self._start(order, folder, lock)
            finally:
                os.close(lock)

    def waited(self, order: Order, process: "subprocess.Popen[bytes]") -> Tree:
        """Return the tree of an image that was begun; the error that says why it is not open."""
        answer = _answer_of(process)
        if "error" in answer:
            raise _error(answer)
        return HandsTree(order.key, self._folder / order.key)

    def _start(self, order: Order, folder: Path, lock: int) -> "subprocess.Popen[bytes]":
        """Start the process that opens it. What it is told goes through a pipe: nobody else can read that."""
        given = asdict(order)
        keys = given.pop("credentials")
        words = {"order": given, "credentials": keys, "folder": str(folder), "lock": lock}
        with (folder / image_opener.LOG).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "policies.adapters.image_opener"],
                cwd=_PROJECT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=(lock,),
                start_new_session=True,
            )
        assert process.stdin is not None  # noqa: S101 - for mypy
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(words).encode() + b"\n")
            process.stdin.close()
        return process

    def again(self, key: str) -> Tree:
        folder = self._folder / key
        if not image_opener.is_held(folder):
            raise ImageGoneError("The image is closed: open the snapshot again.")
        return HandsTree(key, folder)

    def keys(self) -> tuple[str, ...]:
        return tuple(
            key for key in self._all_keys() if (self._folder / key / image_opener.STATE).exists()
        )

    def _all_keys(self) -> list[str]:
        found = sorted(each for each in self._folder.iterdir() if each.is_dir())
        return [each.name for each in found if image_opener.is_held(each)]

    def reap(self) -> int:
        with self._beginning():
            living = self._all_keys()
            left = [
                each for each in self._folder.iterdir() if each.is_dir() and each.name not in living
            ]
            for each in left:
                shutil.rmtree(each, ignore_errors=True)
        found = {each.name for each in left}
        with suppress(BackupError, OSError, ValueError):
            home_of = image_opener.home_of(self._folder)
            request = {"do": "reap images", "home": home_of, "living": living}
            control, process = image_opener.launched(request, [])
            with control, process:
                control.settimeout(launching.START_SECONDS)
                found |= set(
                    json.loads(control.recv(launching.MOST_BYTES) or b"{}").get("keys", [])
                )
        return len(found)

    @contextlib.contextmanager
    def _beginning(self) -> Iterator[None]:
        """Hold the lock under which images begin, so that a folder that is just made is nobody's rest."""
        descriptor = os.open(
            self._folder / ".counting", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _answer_of(process: "subprocess.Popen[bytes]") -> dict[str, Any]:
    """Return what the opener said; {"error": …} if it said nothing in time."""
    text, until = b"", time.monotonic() + ANSWER_SECONDS
    assert process.stdout is not None  # noqa: S101 - for mypy
    with process.stdout as stream:
        while select.select([stream], [], [], max(0.0, until - time.monotonic()))[0]:
            piece = os.read(stream.fileno(), 65536)
            if not piece:
                break
            text += piece
    process.wait()
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        text_of = "The snapshot could not be opened: its process ended; look at the server's log."
        return {"error": "ImageError", "text": text_of}
    return found


def _error(answer: dict[str, Any]) -> BackupError:
    """Return the opener's error as one of ours."""
    kind = getattr(errors, str(answer["error"]), None)
    text = str(answer["text"])
    if not (isinstance(kind, type) and issubclass(kind, BackupError)):
        return ImageError(f"The snapshot could not be opened: {text}")
    made: BackupError = kind(text)
    if isinstance(made, errors.AwsError):
        made.code = str(answer.get("code", ""))
    return made
