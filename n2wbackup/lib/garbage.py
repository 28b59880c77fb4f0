"""How Python's collector of garbage goes about the modules of a program, which stay to its end."""

import atexit
import gc

_CONTAINERS = 20_000


def leave_modules() -> None:
    """Collect rarely, and not at the end: call this before a program imports much.

    By default Python looks for garbage after 700 new objects, hundreds of times while Django loads, and
    frees each object when the program ends. Both together took a quarter of a short command's time.
    """
    gc.set_threshold(_CONTAINERS)
    atexit.register(gc.freeze)
