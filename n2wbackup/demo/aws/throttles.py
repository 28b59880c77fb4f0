"""Token buckets, like AWS's throttling of API calls: one per region and action."""

import threading
import time


class Buckets:
    """Buckets that start full and refill all the time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: dict[tuple[str, str], tuple[float, float]] = {}

    def take(self, region: str, action: str, *, size: float, refill: float) -> bool:
        """Take a token and return True; return False if none is left.

        `size` is the bucket's capacity, `refill` its tokens per second; both may change between calls.
        """
        now = time.monotonic()
        with self._lock:
            left, at = self._left.get((region, action), (size, now))
            left = min(size, left + (now - at) * refill)
            taken = left >= 1
            self._left[region, action] = (left - 1 if taken else left, now)
        return taken

    def clear(self) -> None:
        """Fill every bucket."""
        with self._lock:
            self._left.clear()
