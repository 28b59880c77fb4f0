"""Rows made of numbers, by the database itself: a row a run in Python would take hours.

Each policy runs about as often as the others, so that a list of one policy or one owner is spread over the
whole table, as it is in life. What a run became is reckoned from its number: every making is the same.
"""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from django.db import connection

from policies.models import Policy
from tests.bench.history import entered, opened, recoveries, runs
from tests.bench.history.sizes import Size
from tests.bench.history.world import World


class NotEmptyError(Exception):
    """The database has policies already, and is left as it is."""


class Made(NamedTuple):
    what: str
    seconds: float


def make(size: Size) -> Iterator[Made]:
    """Fill the database, and tell of each table when it is done."""
    if Policy.objects.exists():
        message = "This database has policies already. Name an empty one in DATABASE_URL."
        raise NotEmptyError(message)
    began = time.monotonic()
    world = entered.people(size)
    yield Made("people", time.monotonic() - began)
    with world.dialect.filling():
        for what, step in STEPS.items():
            began = time.monotonic()
            step(world)
            yield Made(what, time.monotonic() - began)
    began = time.monotonic()
    _learn()
    yield Made("statistics", time.monotonic() - began)


def _learn() -> None:
    """Tell PostgreSQL's planner of the rows. SQLite's has no statistics on a server, and so none here."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE" if connection.in_atomic_block else "VACUUM ANALYZE")


STEPS: dict[str, Callable[[World], None]] = {
    "policies": entered.policies,
    "runs": runs.runs,
    "targets": runs.targets,
    "snapshots": runs.snapshots,
    "phases": runs.phases,
    "events": runs.events,
    "holds": runs.holds,
    "copies": runs.copies,
    "sizes": runs.sizes,
    "removals": runs.removals,
    "proofs": runs.proofs,
    "opened snapshots": opened.snapshots,
    "brought files": opened.copies,
    "recoveries": recoveries.recoveries,
    "steps of recoveries": recoveries.steps,
    "what recoveries made": recoveries.resources,
    "events of recoveries": recoveries.events,
    "latest results": runs.latest,
    "daily counts": runs.counts,
    "daily sums": runs.sums,
    "alarms": runs.alarms,
}
