"""A script's output: bounded, masked before it is cut, and nothing ever waits for it."""

from collections import deque
from collections.abc import Sequence

LIMIT_BYTES = 1024 * 1024
REPEATED_LIMIT_BYTES = 16 * 1024
MASK = b"[masked]"
SHORTEST = 4  # shorter values are not secrets, and masking every "k" would destroy the text


class Capture:
    """Keep the head and the tail of a stream of bytes.

    Guarantees: at most `limit` bytes and the mark of the cut are kept, however much is fed. A secret is
    masked even if two reads, or the cut, would have split it.
    """

    def __init__(self, secrets: Sequence[bytes] = (), limit: int = LIMIT_BYTES) -> None:
        """`secrets` are the literal values to mask."""
        self._secrets = sorted((s for s in secrets if len(s) >= SHORTEST), key=len, reverse=True)
        self._held = b""
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._half = limit // 2
        self._cut = 0

    def feed(self, chunk: bytes) -> None:
        """Add what was read; the last bytes are held back, because a secret may begin there."""
        data = self._masked(self._held + chunk)
        keep = self._possible_start(data)
        self._held = data[len(data) - keep :]
        self._store(data[: len(data) - keep])

    def text(self) -> str:
        """Return what is kept so far; bytes that are not UTF-8 are replaced."""
        tail = b"".join(self._tail) + self._held
        if not self._cut:
            return (bytes(self._head) + tail).decode("utf-8", "replace")
        mark = f"\n[… {self._cut} bytes cut …]\n"
        return self._head.decode("utf-8", "replace") + mark + tail.decode("utf-8", "replace")

    def _masked(self, data: bytes) -> bytes:
        for secret in self._secrets:
            data = data.replace(secret, MASK)
        return data

    def _possible_start(self, data: bytes) -> int:
        """Return how many of the last bytes could be the beginning of a secret."""
        longest = 0
        for secret in self._secrets:
            for size in range(min(len(secret) - 1, len(data)), longest, -1):
                if data.endswith(secret[:size]):
                    longest = size
                    break
        return longest

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
