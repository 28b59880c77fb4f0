"""How the C library goes about the memory of a program with many threads."""

import ctypes
from contextlib import suppress

_M_ARENA_MAX = -8  # malloc.h of glibc
_ARENAS = 2


def share_among_threads() -> bool:
    """Have all threads share two heaps; False where the C library is none that can. Call this before threads start.

    By default glibc gives each thread a heap of its own, up to eight for each core. What a thread frees there, another
    one does not use, so a worker grows for hours. Python's own lock lets one thread allocate at a time in any case.
    """
    with suppress(AttributeError, OSError):
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS))
    return False
