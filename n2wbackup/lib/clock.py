"""The two clocks of the program: one for people, one for deadlines."""

import time
from datetime import UTC, datetime, timedelta

# By which the clocks of two machines may differ. A row's time that is further ahead than its writer meant was written
# before the clock was put back: nobody waits for that.
SKEW = timedelta(minutes=1)


def now() -> datetime:
    """Return the current time, aware and in UTC. For rows, pages and messages; it may jump."""
    return datetime.now(UTC)


def boottime() -> float:
    """Return seconds since the machine started, suspend included. For deadlines: it never jumps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
