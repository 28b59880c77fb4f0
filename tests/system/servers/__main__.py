"""Two servers on one database and many policies due at once, with kills on both sides.

`python -m tests.system.servers [--policies 100]`: prints what became of the runs; 0 only if nothing stayed frozen,
nothing was done twice, and nothing that is said is untrue. First without any kill, where all must succeed.
"""

import argparse
import sys
import time

from tests.ground import processes
from tests.system.servers import judge, pair
from tests.system.servers.judge import Judgement
from tests.system.servers.pair import Pair

POLICIES = 100
GONE_SECONDS = 20
END_SECONDS = 1200.0  # of a lost answer alone, five minutes


def main() -> int:
    """Play every part, one after the other; 0 only if all is as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.servers", description=__doc__)
    parser.add_argument("--policies", type=int, default=POLICIES, help="how many (default: 100)")
    options = parser.parse_args()
    more = {"N2W_SERVER_GONE_SECONDS": str(GONE_SECONDS)}
    wrong = 0
    with pair.made(options.policies, more=more) as both:
        for name, strike in PARTS.items():
            both.forget()
            began = time.monotonic()
            both.all_due()
            strike(both)
            both.wait_for_ends(seconds=END_SECONDS)
            wrong += _tell(name, judge.judge(both), time.monotonic() - began, options.policies)
    return 1 if wrong else 0


def _tell(name: str, found: Judgement, seconds: float, policies: int) -> bool:
    """Print a part's result; tell whether something is wrong."""
    sys.stdout.write(f"{name} ({seconds:.0f} s): {found.line}\n")
    bad = [*found.frozen, *found.doubled, *found.untrue]
    if name == "no kill" or sum(found.ends.values()) != policies:
        bad += found.not_whole
    sys.stdout.writelines(f"  {sentence}\n" for sentence in bad)
    sys.stdout.writelines(f"  for the record: {sentence}\n" for sentence in found.failed)
    sys.stdout.flush()
    return bool(bad)


def _nothing(_: Pair) -> None:
    pass


def _workers(both: Pair) -> None:
    """Kill workers, guards' parents and watchdogs on both sides, while windows are open."""
    one, other = both.servers
    both.wait_for_marks("before")
    one.kill("n2wbackup worker work", "n2wbackup watchdog")
    other.kill("n2wbackup worker freeze")
    both.wait_for_marks("complete")
    one.kill("n2wbackup worker freeze")
    other.kill("n2wbackup worker work", "n2wbackup watchdog")


def _power(both: Pair) -> None:
    """Take the power from one machine while it has windows, and kill workers of the other; start it again later."""
    processes.wait_until(
        lambda: both.of_other("frozen") > 0, seconds=120, what="a window on the other machine"
    )
    both.crash_other()
    both.servers[0].kill("n2wbackup worker freeze")
    processes.wait_until(both.is_other_gone, seconds=300, what="that it is gone")
    both.start_other()


def _network(both: Pair) -> None:
    """Cut one machine off while it has windows, until the other takes it for gone, and join it again."""
    processes.wait_until(
        lambda: both.of_other("frozen", "preparing") > 0, seconds=120, what="a run on the other"
    )
    both.machine.cut()
    processes.wait_until(both.is_other_gone, seconds=300, what="that it is gone")
    both.machine.join()


PARTS = {
    "no kill": _nothing,
    "workers and watchdogs killed on both sides": _workers,
    "one machine without power, workers of the other killed": _power,
    "one machine cut off until it was taken for gone": _network,
}


if __name__ == "__main__":
    sys.exit(main())
