"""What strikes when: a plan that the seed alone decides, and its execution."""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from tests.system.soak import faults
from tests.system.soak.estate import Estate
from tests.system.soak.faults import Fault

EVERY_SECONDS = 10.0
JITTER_SECONDS = 6.0  # so that they fall on every second of a minute
CALM_PART = 1 / 3  # at the end, in which no process is ended and memory must stay flat


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault, and how many seconds after the soak's start it strikes; `seed` is for its own choices."""

    at: float
    fault: Fault
    seed: str


@dataclass(frozen=True, slots=True)
class Strike:
    """What was struck, from when until when, as UNIX seconds, and how many it hit.

    `since`: from when on somebody could thaw: the strike, or the next start where everything was dead.
    """

    fault: Fault
    at: float
    until: float
    hit: int
    since: float


def plan(seed: int, seconds: float) -> list[Planned]:
    """Return every strike of the soak: the same for the same seed and length.

    They are dealt like cards, and shuffled anew when none is left: in random order, and none is forgotten.
    """
    rng, found = Random(seed), []
    every = _dealt(rng, faults.FAULTS)
    calm = _dealt(rng, [fault for fault in faults.FAULTS if fault.spares])
    for number in range(int(seconds / EVERY_SECONDS)):
        at = number * EVERY_SECONDS + rng.uniform(0.0, JITTER_SECONDS)
        is_calm = at >= seconds * (1 - CALM_PART)
        found.append(Planned(at, next(calm if is_calm else every), f"{seed}:{number}"))
    return found


def _dealt(rng: Random, known: Sequence[Fault]) -> Iterator[Fault]:
    while True:
        deck = [fault for fault in known for _ in range(fault.weight)]
        rng.shuffle(deck)
        yield from deck


def execute(estate: Estate, planned: Sequence[Planned], began: float) -> list[Strike]:
    """Strike by the plan, one after the other, and tell of each; `began` as UNIX seconds.

    What comes late, as the one before took its time, strikes at once.
    """
    struck = []
    for one in planned:
        time.sleep(max(0.0, began + one.at - time.time()))
        at = time.time()
        hit = one.fault.strike(estate, Random(one.seed))
        tell(f"{at - began:7.1f} s  {one.fault.name}" + ("" if hit else ": nothing to strike at"))
        one.fault.recover(estate)
        revived = estate.down[-1][1] if estate.down else None
        struck.append(Strike(one.fault, at, time.time(), hit, max(at, revived or 0.0)))
    return struck


def tell(line: str) -> None:
    """Print a line at once, with the time."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S', time.gmtime())}  {line}\n")
    sys.stdout.flush()
