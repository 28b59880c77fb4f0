"""Loaded by every Python under the false clock: libfaketime breaks the call that `time.sleep` makes.

It takes the true monotonic clock for the false one in clock_nanosleep, which then fails; select does not care.
"""

import select
import time


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = _sleep
