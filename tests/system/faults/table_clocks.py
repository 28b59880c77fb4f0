"""What happens to a run when clocks jump, and when there are two where one should be."""

import subprocess
import sys

from tests.ground import processes
from tests.system.faults import moments
from tests.system.faults.bed import Bed
from tests.system.faults.table import FINE, Fault, Strike
from tests.system.faults.table_processes import (
    AFTER_LOST,
    CUT,
    LATE,
    NOT_FIRED,
    kill_workers_and_guard,
)
from tests.system.faults.table_stores import say_again
from tests.system.product import ROOT

EVERY = {moment.name: FINE for moment in moments.ALL}


def _jump(offset: str) -> Strike:
    def strike(bed: Bed, _: str) -> None:
        assert bed.clock is not None
        bed.clock.write_text(offset)

    return strike


def _true_time(bed: Bed, _: str) -> None:
    assert bed.clock is not None
    bed.clock.write_text("+0")


def _second(*words: str) -> Strike:
    """Return a function that starts a second one of the server's programs, until the bed is made again."""

    def prepare(bed: Bed, _: str) -> None:
        log = bed.product.log.with_name("second.log")
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=ROOT,
                env=bed.product.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        bed.others.add(process.pid)
        bed.helpers.callback(bed.others.discard, process.pid)
        bed.helpers.callback(processes.stop, process)
        title = f"n2wbackup {words[1]}".encode()
        bed.wait_until(lambda: bed.shows(process.pid).startswith(title.decode()), "the second one")

    return prepare


FAULTS = (
    Fault(
        "the clock jumps an hour ahead",
        EVERY,
        bed="clock",
        prepare=_true_time,
        strike=_jump("+1h"),
        promised=1.0,
        quick="call",
    ),
    Fault(
        "the clock jumps an hour back",
        EVERY,
        bed="clock",
        prepare=_true_time,
        strike=_jump("-1h"),
        promised=1.0,
        quick="between",
    ),
    Fault(
        "two watchdogs, workers and guard killed",
        {"before": CUT, "between": NOT_FIRED, "call": LATE, "returned": LATE, "after": AFTER_LOST},
        prepare=_second("manage", "watchdog"),
        strike=kill_workers_and_guard,
        promised=10.0,
        quick="returned",
        ends_before=True,
    ),
    Fault(
        "two beats",
        {"waiting": FINE},
        prepare=_second("n2wbackup", "beat"),
    ),
    Fault(
        "two workers are given the same run many times",
        EVERY,
        prepare=_second("n2wbackup", "worker", "freeze", "4"),
        strike=say_again,
        promised=1.0,
        quick="preparing",
    ),
)
