"""One soak: the estate is furnished, struck, left to end, and judged."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from tests.system import product as products
from tests.system.soak import estate as estates
from tests.system.soak import evidence, judge, judge_growth, striking
from tests.system.soak.estate import Estate
from tests.system.soak.evidence import Evidence
from tests.system.soak.striking import tell
from tests.system.soak.watching import Watch

SHORT_MINUTES = 10  # a shorter soak shows growth only coarsely
LEAD_SECONDS = 15.0  # for the schedule to be entered before it is due
END_SECONDS = 900.0  # a lost answer is settled after five minutes; what waits for that comes later
REST_SECONDS = 30.0  # at the end, to see what a server at rest holds
SHORT_REST_SECONDS = 10.0
_LEFT_SECONDS = 180.0  # an alarm whose receiver was away is tried again after up to two minutes
_UNFINISHED = """
    SELECT policy_name, state FROM policies_run
    WHERE state NOT IN ('succeeded', 'partial', 'failed', 'cancelled', 'skipped', 'missed')
"""


@dataclass(frozen=True, slots=True)
class Soaked:
    """What came of a soak: `wrong` is empty where all is as demanded. Times in seconds."""

    seed: int
    minutes: float
    evidence: Evidence
    wrong: list[str]
    watch: Watch
    settling_seconds: float
    told: list[str]  # the alarms that were received


def run(*, minutes: float, seed: int, hurry: bool) -> Soaked:
    """Soak for so long; `hurry` lets lost answers be due at the end, which else takes five minutes.

    Part of a minute more makes the policies due once more, and strikes at that for as long.
    """
    with estates.made(Random(seed)) as estate:
        programs = evidence.titles(estate)
        first = estates.next_minute(LEAD_SECONDS)
        last = first + timedelta(minutes=math.ceil(minutes) - 1)
        estate.schedule(first, last)
        before = evidence.tables(estate)
        with Watch(estate, tell) as watch:
            began = first.timestamp()
            tell(
                f"seed {seed}: {len(estate.names)} policies are due each minute from {first:%H:%M} on"
            )
            strikes = striking.execute(estate, striking.plan(seed, minutes * 60.0), began)
            time.sleep(max(0.0, began + minutes * 60.0 - time.time()))
            struck = time.time()
            _wait_until_all_have_ended(estate, hurry=hurry)
            ended = time.time()
            tell(
                f"every run has ended, {ended - struck:.0f} s after the last minute; the server rests"
            )
            time.sleep(SHORT_REST_SECONDS if hurry else REST_SECONDS)
            products.wait_until_ready(estate.product)
            left = _left(estate, programs)
        after = evidence.tables(estate)
        found = Evidence(
            due=(began, last.timestamp()),
            followed=(_followed_from(began, minutes), last.timestamp()),
            limits=judge_growth.SHORT if minutes < SHORT_MINUTES else judge_growth.LONG,
            policies=estate.names,
            runs=evidence.runs(estate),
            marks=estate.read_marks(),
            made=evidence.made(estate),
            strikes=strikes,
            stretches=list(watch.stretches.values()),
            tables={name: (before.get(name, 0), count) for name, count in after.items()},
            watched=watch.wrong,
            left=left,
        )
        estate.stop()
        found.left += [f"alive after the server: {one}" for one in _survivors(watch)]
    wrong = judge.judge(found)
    told = [f"{body['title']} {body['message']}" for _, _, body in estate.hook.requests]
    return Soaked(seed, minutes, found, wrong, watch, ended - struck, told)


def _followed_from(began: float, minutes: float) -> float:
    """Return from which minute on what processes hold is followed: where none is ended any more."""
    if minutes < SHORT_MINUTES:
        return began
    return began + judge.MINUTE * math.ceil(minutes * (1 - striking.CALM_PART))


def _wait_until_all_have_ended(estate: Estate, *, hurry: bool) -> None:
    """Return when nothing is due and no run is under way, or the time for it is over: the judge will tell."""
    until = time.monotonic() + END_SECONDS
    while time.monotonic() < until:
        due = estate.query("SELECT count(*) FROM policies_policy WHERE next_run_at IS NOT NULL")
        waiting = estate.query(_UNFINISHED)
        if not waiting and due == [(0,)]:
            return
        if hurry and not due[0][0] and all(state == "waiting" for _, state in waiting):
            _minutes_pass(estate)
        time.sleep(2)


def _unfinished(estate: Estate) -> str:
    found = Counter(state for _, state in estate.query(_UNFINISHED))
    told = ", ".join(f"{count} {state}" for state, count in found.items())
    return f"runs that have not ended: {told or 'none'}"


def _minutes_pass(estate: Estate) -> None:
    """Let AWS's last word on calls whose answer was lost be due: six minutes go by, in the rows."""
    earlier = datetime.fromtimestamp(time.time() - 360, tz=UTC)
    estate.query(
        "UPDATE policies_run SET ordered_at = ? WHERE state = 'waiting' AND ordered_at > ?",
        f"{earlier:%Y-%m-%d %H:%M:%S.%f}",
        f"{earlier:%Y-%m-%d %H:%M:%S.%f}",
    )


def _left(estate: Estate, programs: Sequence[str]) -> list[str]:
    """Return what is left, once it was given its time."""
    until = time.monotonic() + _LEFT_SECONDS
    while (found := evidence.left(estate, programs)) and time.monotonic() < until:
        time.sleep(1)
    return found


def _survivors(watch: Watch) -> list[str]:
    until = time.monotonic() + _LEFT_SECONDS
    while (found := evidence.survivors(watch)) and time.monotonic() < until:
        time.sleep(1)
    return found
