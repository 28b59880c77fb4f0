"""Thirty nights of five hundred policies, with a server that keeps going away: nothing due is ever lost."""

import random
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from policies.domain.schedules import reckoning, schedule
from policies.domain.schedules.reckoning import LATE
from policies.domain.schedules.schedule import Rule
from tests.policies.domain.schedules import nights
from tests.policies.domain.schedules.nights import Outage

POLICIES = 500
BEGIN = datetime(2026, 10, 1, tzinfo=UTC)  # the clocks of Europe and Australia change within
END = BEGIN + timedelta(days=30)
SEED = 20261010
SECOND = timedelta(seconds=1)


def test_every_due_time_of_thirty_days_is_run_or_skipped_or_missed_exactly_once() -> None:
    chance = random.Random(SEED)
    entered = nights.schedules(chance, 40)
    down = nights.outages(chance, BEGIN, END, longest_wait=4000)
    found: Counter[str] = Counter()
    for _ in range(POLICIES):
        mine = chance.sample(range(len(entered)), chance.choice([1, 1, 1, 1, 2]))
        found += accounted_for({f"s{number}": entered[number].rule() for number in mine}, down)

    assert found.keys() == {"run", "skipped", "missed"}


def accounted_for(rules: Mapping[str, Rule], down: list[Outage]) -> Counter[str]:
    """Reckon as ticks do, a second after what is due; hold it against the due times, worked out anew."""
    due = list(takewhile(lambda one: one.at < END, schedule.due(rules, BEGIN)))
    open_ones = [one.at for one in due if one.names]
    held = [one.at for one in due if not one.names]
    told: Counter[str] = Counter()
    since = reckoning.following(rules, BEGIN)
    while since is not None and since < END:
        now = min(nights.up_at(down, since + SECOND), END - SECOND)
        found = reckoning.reckon(rules, since, now)
        if found.run:
            assert found.run.at in open_ones
            assert found.run.at <= now < found.run.at + LATE
            told["run"] += 1
        if found.missed:
            own = [at for at in open_ones if found.missed.first <= at <= found.missed.last]
            assert found.missed.number == len(own)
            assert all(nights.up_at(down, at) > at for at in own), "it was up"
            told["missed"] += len(own)
        if found.skipped:
            own = [at for at in held if found.skipped.first <= at <= found.skipped.last]
            assert found.skipped.number == len(own)
            told["skipped"] += len(own)
        assert found.next_at is None or found.next_at > since
        since = found.next_at
    assert told.total() == len(due)
    return told
