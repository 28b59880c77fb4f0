"""A script's output: bounded, masked before it is cut, and nothing ever waits for it."""

from collections import deque
from collections.abc import Callable, Sequence

from n2wbackup.lib import redaction

LIMIT_BYTES = 1024 * 1024
REPEATED_LIMIT_BYTES = 16 * 1024


class Capture:
    """Keep the head and the tail of a stream of bytes.

    Guarantees: at most `limit` bytes and the mark of the cut are kept, however much is fed. A secret is
    masked even if two reads, or the cut, would have split it.
    """

    def __init__(self, secrets: Sequence[bytes] = (), limit: int = LIMIT_BYTES) -> None:
        """`secrets` are the values to mask, in every writing that redaction knows."""
        self.tell: Callable[[bytes], None] | None = None  # gets what is masked, as soon as it is
        self._stream = redaction.masker(tuple(secrets)).stream()
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._half = limit // 2
        self._cut = 0

    def feed(self, chunk: bytes) -> None:
        """Add what was read; the last bytes are held back, because a secret may begin there."""
        masked = self._stream.feed(chunk)
        if self.tell is not None:
            self.tell(masked)
        self._store(masked)

    def text(self) -> str:
        """Return what is kept so far, as it was written; only bytes that are not UTF-8 are replaced."""
        rest = self._stream.rest()
        room = self._half - len(self._head)
        head, tail = bytes(self._head) + rest[:room], b"".join(self._tail) + rest[room:]
        excess = max(0, len(tail) - self._half)
        cut = self._cut + excess
        if not cut:
            return (head + tail).decode("utf-8", "replace")
        mark = f"\n[… {cut} bytes cut …]\n"
        return head.decode("utf-8", "replace") + mark + tail[excess:].decode("utf-8", "replace")

    def _store(self, data: bytes) -> None:
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if not data:
            return
        self._tail.append(data)
        self._tail_size += len(data)
        while self._tail_size > self._half:
            excess = self._tail_size - self._half
            first = self._tail.popleft()
            dropped = min(len(first), excess)
            if dropped < len(first):
                self._tail.appendleft(first[dropped:])
            self._tail_size -= dropped
            self._cut += dropped
