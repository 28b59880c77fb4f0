"""How much history is made."""

from typing import NamedTuple


class Size(NamedTuple):
    """`open` runs have not ended; the others have, evenly over the last `days`."""

    runs: int = 1_000_000
    policies: int = 10_000
    users: int = 200
    open: int = 200
    days: int = 365


FULL = Size()
SMALL = Size(runs=4_000, policies=200, users=10, open=20)
