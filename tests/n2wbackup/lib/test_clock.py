import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from n2wbackup.lib import clock


def test_now_is_aware_and_in_utc() -> None:
    found = clock.now()

    assert found.tzinfo is UTC
    assert abs(found - datetime.now(UTC)) < timedelta(seconds=5)


def test_boottime_counts_seconds_since_the_machine_started() -> None:
    uptime = float(Path("/proc/uptime").read_text().split()[0])

    assert abs(clock.boottime() - uptime) < 5


def test_boottime_goes_on_by_the_seconds_that_pass() -> None:
    before = clock.boottime()
    time.sleep(0.05)

    assert 0.05 <= clock.boottime() - before < 5
