"""How Python's collector of garbage goes about the modules of a program, which stay to its end."""

import atexit
import gc

_CONTAINERS = 20_000
_OF_A_LONG_LIFE = 2_000


def leave_modules() -> None:
    """Collect rarely, and not at the end: call this before a program imports much.

    By default Python looks for garbage after 700 new objects, hundreds of times while Django loads, and
    frees each object when the program ends. Both together took a quarter of a short command's time.
    """
    gc.set_threshold(_CONTAINERS)
    atexit.register(gc.freeze)


def leave_nothing() -> None:
    """Collect more often again: a program that lives for months calls this after it has imported everything.

    What has lived through two collections is looked at again only after a hundred more. With the long
    pauses of `leave_modules`, that was after two million objects: connections that had been given up long ago stayed.
    """
    gc.set_threshold(_OF_A_LONG_LIFE)
