"""Make sure that before, and every earlier after, of a run whose guard died is not working any more."""

import os
import signal
import time

from scripts_admin.domain.phases import Phase
from scripts_admin.guard import journal, launching, linux, spool
from scripts_admin.guard.launching import LaunchError
from scripts_admin.guard.script import RECHECK_SECONDS


def bury(known: journal.Journal, record: spool.Record) -> None:
    """Make sure that no earlier before or after of this run is still working.

    An after that lost its guard may be about to succeed: it gets its full timeout. A killed process that does
    not disappear is blocked in a write to the frozen disk: it can do nothing more, and only the thaw releases it.
    """
    for attempt in known.attempts.values():
        if attempt.process is None or attempt.phase == Phase.COMPLETE:
            continue
        if attempt.phase == Phase.BEFORE and attempt.ended_at is not None:
            continue  # it ended by itself: its children may hold the lock that after will release
        until = 0.0
        if attempt.phase == Phase.AFTER and attempt.was_ordered and attempt.ended_boot is None:
            timeout = record.after.timeout_seconds if record.after else 0.0
            until = (attempt.ordered_boot or 0.0) + timeout
        if attempt.launched and os.geteuid() != 0:
            try:
                launching.end(attempt.process, max(0.0, until - linux.boottime()))
            except LaunchError:  # its own launcher ends it at its deadline
                _wait_until_gone(attempt.process, until)
            continue
        _wait_until_gone(attempt.process, until)
        for number, grace in ((signal.SIGTERM, 1.0), (signal.SIGKILL, 2.0)):
            linux.signal_group(attempt.process, number)
            if _wait_until_gone(attempt.process, linux.boottime() + grace):
                break


def _wait_until_gone(leader: linux.Process, until: float) -> bool:
    while not linux.group_is_gone(leader):
        if linux.boottime() >= until:
            return False
        time.sleep(RECHECK_SECONDS)
    return True
