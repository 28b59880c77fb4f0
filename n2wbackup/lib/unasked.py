"""What a library would load only because it is installed, or before anybody uses it.

The server's processes share what they have loaded, but a command loads everything for itself: half of what it loads
it never uses.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def left_out(*names: str) -> Iterator[None]:
    """Within the block these cannot be imported, as if they were not installed; what is loaded already stays."""
    hidden = {name: None for name in names if name not in sys.modules}
    sys.modules.update(hidden)  # type: ignore[arg-type] # None is Python's own mark for it
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
