"""Loaded by every Python under the false clock: libfaketime breaks the call that `time.sleep` makes.

It takes the true monotonic clock for the false one in clock_nanosleep, which then fails; select does not care.
"""

import select
import time
from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex, /) -> None:
    select.select([], [], [], float(seconds))


time.sleep = _sleep
