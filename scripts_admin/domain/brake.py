"""How long the next login has to wait after failed ones."""

FREE_FOR_A_NAME = 5  # from one address
FREE_FOR_AN_ADDRESS = 20  # with any names
LONGEST_SECONDS = 900
FORGOTTEN_SECONDS = 3_600
_FIRST_SECONDS = 5
_MOST_DOUBLINGS = 10


def seconds(failures: int, free: int) -> int:
    """Return how long after the last failure the next try may come: nothing at first, then twice as long each time."""
    if failures < free:
        return 0
    doublings = min(failures - free, _MOST_DOUBLINGS)
    return int(min(_FIRST_SECONDS * 2**doublings, LONGEST_SECONDS))
