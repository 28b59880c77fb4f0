"""nbdkit's plugin: a disk whose blocks are asked for over sockets. nbdkit's own Python loads this file.

It knows no credentials and no AWS: whoever holds the other ends of the sockets reads the blocks. A request is a block's
index, 8 bytes; the answer is a length, 4 bytes, and so many bytes: none for a block that was never written. The
length 0xffffffff says that the block could not be read.
"""

from __future__ import annotations

import collections
import errno
import queue
import socket
import struct
import threading

import nbdkit  # type: ignore[import-not-found] # nbdkit itself is this module

API_VERSION = 2
BLOCK = 512 * 1024
KEPT_BLOCKS = 96
FAILED = 0xFFFFFFFF

size = 0
sockets: queue.Queue[socket.socket] = queue.Queue()
kept: collections.OrderedDict[int, bytes] = collections.OrderedDict()
fetching: dict[int, threading.Event] = {}
lock = threading.Lock()


def config(key: str, value: str) -> None:
    """Take the disk's size and the descriptors of the sockets."""
    global size  # noqa: PLW0603 - so are plugins written
    if key == "size":
        size = int(value)
    elif key == "sockets":
        for number in value.split(","):
            sockets.put(socket.socket(fileno=int(number)))
    else:
        raise RuntimeError(f"unknown parameter {key}")


def config_complete() -> None:
    """Both are needed."""
    if not size or sockets.empty():
        raise RuntimeError("size and sockets are needed")


def thread_model() -> int:
    """Several blocks are asked for at once."""
    return int(nbdkit.THREAD_MODEL_PARALLEL)


def open(readonly: bool) -> int:  # noqa: A001, ARG001, FBT001 - nbdkit's names
    """Every client gets the same disk."""
    return 1


def get_size(handle: int) -> int:  # noqa: ARG001 - nbdkit's
    return size


def can_multi_conn(handle: int) -> bool:  # noqa: ARG001 - nbdkit's
    return True


def pread(handle: int, buffer: bytearray, offset: int, flags: int) -> None:  # noqa: ARG001 - nbdkit's
    """Fill the buffer from the blocks that it covers."""
    view, done = memoryview(buffer).cast("B"), 0
    while done < len(view):
        index, within = divmod(offset + done, BLOCK)
        count = min(len(view) - done, BLOCK - within)
        block = _block(index)
        view[done : done + count] = block[within : within + count] if block else bytes(count)
        done += count


def _block(index: int) -> bytes:
    """Return a block; b"" if it was never written. One that is being fetched is not fetched again."""
    while True:
        with lock:
            if index in kept:
                kept.move_to_end(index)
                return kept[index]
            waiting = fetching.get(index)
            if waiting is None:
                fetching[index] = threading.Event()
        if waiting is None:
            break
        waiting.wait()
    try:
        found = _fetched(index)
        with lock:
            kept[index] = found
            while len(kept) > KEPT_BLOCKS:
                kept.popitem(last=False)
        return found
    finally:
        with lock:
            fetching.pop(index).set()


def _fetched(index: int) -> bytes:
    channel = sockets.get()
    try:
        channel.sendall(struct.pack(">Q", index))
        (length,) = struct.unpack(">I", _received(channel, 4))
        if length != FAILED:
            return _received(channel, length)
    except OSError:
        length = FAILED
    finally:
        sockets.put(channel)
    nbdkit.set_error(errno.EIO)
    raise RuntimeError(f"block {index} cannot be read")


def _received(channel: socket.socket, count: int) -> bytes:
    found = bytearray(count)
    view = memoryview(found)
    while view:
        number = channel.recv_into(view)
        if not number:
            raise OSError(errno.EPIPE, "the reader is gone")
        view = view[number:]
    return bytes(found)
