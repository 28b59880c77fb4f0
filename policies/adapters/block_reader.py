"""Reads the blocks of one snapshot for its disk, as they are asked for; who reads in order gets the next ones ahead.

Tokens are listed where they are needed: a snapshot of many terabytes opens as fast as a small one.
"""

import itertools
import mmap
import socket
import struct
import threading
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from policies.domain.errors import BackupError
from policies.ports.blocks import BLOCK_BYTES, Blocks
from policies.ports.images import Order

PAGE = 10_000
AHEAD, LONGEST_AHEAD = 2, 8
REST_SECONDS = 5.0  # after a block that could not be read: nobody waits for each of many
_FAILED = 0xFFFFFFFF
_ENDLESS = 1 << 62


class Counts:
    """Numbers that other processes read while they grow: blocks read, and blocks of the snapshot (-1: not known)."""

    def __init__(self, path: Path) -> None:
        """Make the file."""
        path.write_bytes(struct.pack("=qq", 0, -1))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 16)
        self._lock = threading.Lock()
        self._read = 0

    def count(self) -> None:
        with self._lock:
            self._read += 1
            self._map[:8] = struct.pack("=q", self._read)

    def set_total(self, total: int) -> None:
        self._map[8:] = struct.pack("=q", total)

    @staticmethod
    def of(path: Path) -> tuple[int, int]:
        """Return both numbers."""
        read, total = struct.unpack("=qq", path.read_bytes())
        return int(read), int(total)


class Reader:
    """One snapshot's blocks. `problem`: why the last block that failed could not be read."""

    def __init__(self, blocks: Blocks, order: Order, counts: Counts) -> None:
        """Nothing is asked yet."""
        self._blocks, self._order, self._counts = blocks, order, counts
        self.problem: BackupError | None = None
        self._rests_until = 0.0
        self._tokens: dict[int, str] = {}
        self._known: list[tuple[int, int]] = []  # ranges of which every block's token is there
        self._lock, self._listing = threading.Lock(), threading.Lock()
        self._ahead: OrderedDict[int, Future[bytes]] = OrderedDict()
        self._lengths: OrderedDict[int, int] = (
            OrderedDict()
        )  # of runs, by the block that would go on
        self._pool = ThreadPoolExecutor(LONGEST_AHEAD, "ahead")

    def size(self) -> int:
        """Return the volume's size in bytes, and count the snapshot's blocks meanwhile."""
        found = self._blocks.listed(self._order.region, self._order.snapshot_id, page=PAGE)
        first = list(itertools.islice(found.blocks, PAGE))
        self._learn(0, first, PAGE)
        if len(first) < PAGE:
            self._counts.set_total(len(first))
        else:
            threading.Thread(target=self._count, args=(found.blocks, PAGE), daemon=True).start()
        return found.volume_gib * 1024**3

    def _count(self, rest: Iterator[tuple[int, str]], already: int) -> None:
        with suppress(BackupError):
            self._counts.set_total(already + sum(1 for _ in rest))

    def serve(self, channel: socket.socket) -> None:
        """Answer the disk's questions on a socket until it closes."""
        with channel, suppress(OSError):
            while True:
                raw = channel.recv(8, socket.MSG_WAITALL)
                if len(raw) < 8:  # noqa: PLR2004 - a question's length
                    return
                try:
                    data = self.block(struct.unpack(">Q", raw)[0])
                except BackupError:
                    channel.sendall(struct.pack(">I", _FAILED))
                else:
                    channel.sendall(struct.pack(">I", len(data)))
                    channel.sendall(data)

    def block(self, index: int) -> bytes:
        """Return a block; b"" if it was never written."""
        if time.monotonic() < self._rests_until and self.problem is not None:
            raise self.problem
        with self._lock:
            waiting = self._ahead.pop(index, None)
            length = self._lengths.pop(index, 0) + 1
            self._lengths[index + 1] = length
            while len(self._lengths) > 64:  # noqa: PLR2004 - of so many readers at once
                self._lengths.popitem(last=False)
        if length >= AHEAD:
            self._fetch_ahead(index + 1, min(length, LONGEST_AHEAD))
        try:
            return waiting.result() if waiting is not None else self._read(index)
        except BackupError as error:
            self.problem, self._rests_until = error, time.monotonic() + REST_SECONDS
            raise

    def _fetch_ahead(self, first: int, count: int) -> None:
        with self._lock:
            for index in range(first, first + count):
                if index not in self._ahead and index in self._tokens:
                    self._ahead[index] = self._pool.submit(self._read, index)
            while len(self._ahead) > 2 * LONGEST_AHEAD:
                self._ahead.popitem(last=False)

    def _read(self, index: int) -> bytes:
        token = self._token(index)
        if not token:
            return b""
        self._counts.count()
        order = self._order
        data = self._blocks.read(order.region, order.snapshot_id, index, token)
        return data if any_data(data) else b""

    def _token(self, index: int) -> str:
        """Return the block's token; "" if the snapshot has no such block."""
        with self._listing:
            if not self._is_known(index):
                found = self._blocks.listed(
                    self._order.region, self._order.snapshot_id, start=index, page=1000
                )
                self._learn(index, list(itertools.islice(found.blocks, 1000)), 1000)
        return self._tokens.get(index, "")

    def _is_known(self, index: int) -> bool:
        at = bisect_right(self._known, (index, _ENDLESS)) - 1
        return at >= 0 and index < self._known[at][1]

    def _learn(self, start: int, rows: list[tuple[int, str]], page: int) -> None:
        self._tokens.update(rows)
        end = rows[-1][0] + 1 if len(rows) >= page else _ENDLESS
        self._known = sorted([*self._known, (start, end)])


def any_data(data: bytes) -> bool:
    """Tell whether a block holds anything but zeros."""
    return data.count(0) != BLOCK_BYTES
