"""The two clocks of the program: one for people, one for deadlines."""

import time
from datetime import UTC, datetime, timedelta

# The clocks of two machines may differ by this much. If a row's time is even further in the future than intended,
# it was written before the clock was set back: nothing waits for such a time.
SKEW = timedelta(minutes=1)

# Names of the time zone database that show UTC itself.
UTC_NAMES = frozenset(
    {
        *("UTC", "Etc/UTC", "UCT", "Etc/UCT", "Zulu", "Etc/Zulu", "Universal", "Etc/Universal"),
        *("GMT", "Etc/GMT", "GMT0", "GMT+0", "GMT-0", "Etc/GMT0", "Etc/GMT+0", "Etc/GMT-0"),
        *("Greenwich", "Etc/Greenwich"),
    }
)


def now() -> datetime:
    """Return the current time, with time zone UTC. For rows, pages and messages; it may jump."""
    return datetime.now(UTC)


def boottime() -> float:
    """Return seconds since the machine started, time in suspend included. For deadlines: it never jumps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
