"""One cell of the table: a run or something else, a fault that strikes it in a moment, and the judgement."""

import time

from tests.system.faults import judge, moments
from tests.system.faults.bed import Bed
from tests.system.faults.judge import Finding
from tests.system.faults.table import Fault
from tests.system.product import ENDS, LABEL


def strike(bed: Bed, fault: Fault, name: str) -> Finding:
    """Take a run, or what the fault takes, through it at the moment, and judge the result."""
    bed.clean()
    if fault.policy:
        bed.apply(**fault.policy)
    if fault.take:
        try:
            return fault.take(bed, fault, name)
        finally:
            bed.helpers.close()
            bed.product.aws.clear_faults()
    fault.prepare(bed, name)
    if fault.by_itself:
        run = bed.product.start_run()
        bed.since = time.time()
        fault.strike(bed, run)
    else:
        moment = moments.BY_NAME[name]
        moment.arm(bed)
        run = bed.product.start_run()
        moment.reach(bed, run)
        bed.since = time.time()
        fault.strike(bed, run)
        if not fault.leaves_closed(name):
            moment.release(bed)
    fault.recover(bed, run)
    if fault.at[name].unknown_answer:
        bed.wait_for_state(run, "waiting", *ENDS)
        bed.minutes_pass(run)
    bed.wait_for_state(run, *ENDS)
    bed.helpers.close()
    bed.product.aws.clear_faults()  # what AWS refuses now is written once it does not any more
    finding = (fault.judge or judge.judge)(bed, fault, name, run)
    if fault.at[name].may_be_frozen:  # or the next run in this bed ends with this one's mark
        bed.product.manage("confirm_thaw", LABEL)
    return finding
