"""Where an opened snapshot stands, and where a copy of files to an instance does."""

from enum import StrEnum


class State(StrEnum):
    """An opened snapshot goes down this list; it may end from each state."""

    ASKED = "asked"
    OPENING = "opening"
    OPEN = "open"
    CLOSED = "closed"
    FAILED = "failed"


class Bringing(StrEnum):
    """Where a copy of files to an instance stands."""

    ASKED = "asked"
    COPYING = "copying"
    DONE = "done"
    FAILED = "failed"


PRICE_OF_BLOCKS = 0.003  # US dollars for 1,000 blocks of 512 KiB; see docs/files-from-snapshots.md


def cost(blocks: int) -> float:
    """Return about how many US dollars AWS takes for so many blocks."""
    return blocks * PRICE_OF_BLOCKS / 1000
