"""The process that holds an opened image and answers words about it, over a socket of the server's.

It is the only one that sees the image. A connection carries one request, a line of JSON, and its answer: a line of
JSON, and for contents pieces, each with its length before it, four bytes; the length 0 ends them.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable

from n2wbackup_run import disks, journals, kernel, programs, trees
from n2wbackup_run.accounts import RefusedError
from n2wbackup_run.programs import Program

MOST_AT_ONCE, MOST_REQUEST = 16, 64 << 20
LOOK_SECONDS, ASK_SECONDS = 0.2, 60.0
# So much of the disk stays free for the server itself.
FREE_BYTES = 256 * 1024**2
_MOUNT_DATA = {"xfs": "nouuid", "ext4": ""}
_CHECKS = {"ext4": ["/usr/sbin/e2fsck", "-fn"], "xfs": ["/usr/sbin/xfs_repair", "-n"]}


class Image:
    """An image that is open."""

    def __init__(self, place: str, request: dict[str, Any]) -> None:
        self.key = str(request["key"])
        self.name = f"{self.key}-{request['home']}"
        self._place, self._request = place, request
        self.disk = disks.Disk(place, self.name, int(request["size"]))
        self.tree_folder = f"{place}/tree-{self.key}"
        self._room = programs.Room(place, self.tree_folder)
        self._programs: list[Program] = []
        self._begun = time.monotonic()
        self.parts: list[disks.Part] = []
        self.seconds = 0.0
        self._lock = threading.Lock()

    def open(self, sockets: list[int], overlay: int, uid: int, gid: int) -> None:
        """Make the disk, read its parts and its journal, and mount one part; RefusedError says why not."""
        self.overlay = overlay
        self.disk.open(sockets, overlay, uid, gid)
        # What makes the disk does not see its file system: the last to see it unmounts it, and waits for the disk.
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.make_private()
        for each in sockets:
            os.close(each)
        file = os.open(self.disk.file, os.O_RDWR | os.O_CLOEXEC)
        try:
            self.parts = disks.parts(file, self.disk.size)
            self.part = disks.chosen(self.parts, int(self._request["part"]))
            self.journal = journals.read(file, self.part.offset, self.part.file_system)
            nodes = f"{self._place}/nodes"
            os.mkdir(nodes, 0o700)  # noqa: PTH102 - beside the others
            self._loop, self.node = kernel.loop(
                file, f"n2wbackup-{self.name}", nodes, self.part.offset, self.part.size
            )
        finally:
            os.close(file)
        os.mkdir(self.tree_folder, 0o700)  # noqa: PTH102 - as above
        self._mount()
        os.close(self._loop)  # it goes with its mount
        self.seconds = time.monotonic() - self._begun

    def _mount(self) -> None:
        kind = self.part.file_system
        flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC | kernel.MS_NOATIME
        try:
            kernel.mount(self.node, self.tree_folder, kind, flags, _MOUNT_DATA[kind])
        except OSError as error:
            raise disks.DamagedError(
                f"its {kind} cannot be mounted ({error.strerror}): it is damaged, or not the whole of it is there"
            ) from None
        self.tree = trees.Tree(self.tree_folder)

    def about(self) -> dict[str, Any]:
        size = os.statvfs(self.tree_folder)
        return {
            "key": self.key,
            "root": programs.ROOT,
            "parts": [
                {
                    "number": each.number,
                    "file_system": each.file_system,
                    "size_bytes": each.size,
                    "label": each.label,
                    "is_readable": each.file_system in disks.MOUNTED,
                }
                for each in self.parts
            ],
            "part": self.part.number,
            "file_system": self.part.file_system,
            "needs_recovery": self.journal.needs_recovery,
            "replay_bytes": self.journal.replay_bytes,
            "size_bytes": self.part.size,
            "used_bytes": (size.f_blocks - size.f_bfree) * size.f_frsize,
            "overlay_used_bytes": self.disk.overlay_bytes(),
            "seconds": self.seconds,
        }

    def why_end(self) -> str:
        """Return why the image has to be closed now; "" if it may go on."""
        if any(each.poll() is not None for each in self.disk.processes):
            return "nbdkit or nbdfuse ended"
        if self.disk.overlay_bytes() > int(self._request["overlay"]):
            return "what was written reached the overlay's limit"
        free = os.statvfs(self.overlay)
        if free.f_bavail * free.f_frsize < FREE_BYTES:
            return "the server's disk is nearly full"
        return ""

    def end(self) -> None:
        """Throw away what the file system has not written; the rest ends with this process."""
        with contextlib.suppress(OSError):
            kernel.give_up(self.tree_folder)

    def started(self, request: dict[str, Any]) -> int:
        with self._lock:
            if len(self._programs) >= programs.MOST_PROGRAMS:
                raise RefusedError("too many programs were run on this image: open it again")
            self._programs.append(programs.start(self._room, request))
            return len(self._programs) - 1

    def program(self, request: dict[str, Any]) -> Program:
        number = int(request["number"])
        if not 0 <= number < len(self._programs):
            raise RefusedError("there is no such program")
        return self._programs[number]

    def checked(self, seconds: float) -> dict[str, Any]:
        """Unmount, check, mount again."""
        self.tree.close()
        # Held open, so that the disk does not go with its mount.
        held = os.open(self.node, os.O_RDWR | os.O_CLOEXEC)
        try:
            kernel.unmount(self.tree_folder, 0)
            argv = [*_CHECKS[self.part.file_system], "/proof/disk"]
            room = programs.Room(f"{self._place}/nodes", "")
            program = programs.start(room, {"argv": argv, "uid": 0, "seconds": seconds}, self.node)
            program.wait(seconds + 5)
            self._mount()
        finally:
            os.close(held)
        return program.said()


def answer(image: Image, request: dict[str, Any]) -> tuple[dict[str, Any], Iterator[bytes] | None]:
    """Return the answer to a request, and the content that follows it."""
    path = os.fsencode(str(request.get("path", "")))
    most = int(request.get("most", 0))
    tree = image.tree
    what = request["do"]
    plain: dict[str, Callable[[], dict[str, Any]]] = {
        "about": image.about,
        "list": lambda: tree.listed(path, os.fsencode(str(request["after"])), most),
        "stat": lambda: tree.stat(path),
        "find": lambda: tree.found(str(request["words"]), most, path),
        "start": lambda: {"number": image.started(request)},
        "said": lambda: image.program(request).said(),
        "check": lambda: image.checked(float(request["seconds"])),
    }
    if what in plain:
        return plain[what](), None
    if what == "wait":
        program = image.program(request)
        if request.get("term"):
            program.kill(15)
        program.wait(float(request["seconds"]))
        return program.said(), None
    if what in ("read", "read from"):
        return {}, _pieces(tree.opened(path), most, int(request.get("start", 0)))
    if what == "zip":
        return {}, tree.zipped([os.fsencode(str(each)) for each in request["paths"]])
    raise RefusedError(f"{what!r} is no request")


def _pieces(file: int, most: int, start: int) -> Iterator[bytes]:
    try:
        os.lseek(file, start, os.SEEK_SET)
        left = most if most >= 0 else 1 << 62
        while left:
            piece = os.read(file, min(left, trees.PIECE))
            if not piece:
                return
            left -= len(piece)
            yield piece
    finally:
        os.close(file)


def serve(image: Image, listening: socket.socket) -> None:
    """Answer until the process ends; so many at once."""
    free = threading.BoundedSemaphore(MOST_AT_ONCE)

    def one(channel: socket.socket) -> None:
        try:
            with channel, contextlib.suppress(OSError, ValueError, KeyError):
                _converse(image, channel)
        finally:
            free.release()

    while True:
        channel, _ = listening.accept()
        free.acquire()
        threading.Thread(target=one, args=(channel,), daemon=True).start()


def _converse(image: Image, channel: socket.socket) -> None:
    channel.settimeout(ASK_SECONDS)
    request = json.loads(_line(channel))
    content: Iterator[bytes] | None = None
    try:
        said, content = answer(image, request)
        first = next(content, b"") if content else b""
    except (trees.NoPathError, disks.DamagedError, RefusedError) as problem:
        kind = "path" if isinstance(problem, trees.NoPathError) else "refused"
        said, content, first = {"error": str(problem), "kind": kind}, None, b""
    except OSError as problem:
        why = f"it cannot be read ({problem.strerror}): the image is damaged, or AWS gives no block of it"
        said, content, first = {"error": why, "kind": "damaged"}, None, b""
    channel.sendall(json.dumps(said).encode() + b"\n")
    if content is None:
        return
    for piece in _all(first, content):
        channel.sendall(struct.pack(">I", len(piece)) + piece)
    channel.sendall(bytes(4))


def _all(first: bytes, content: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from (each for each in content if each)


def _line(channel: socket.socket) -> bytes:
    found = b""
    while not found.endswith(b"\n"):
        piece = channel.recv(65536)
        if not piece or len(found) > MOST_REQUEST:
            raise ValueError
        found += piece
    return found
