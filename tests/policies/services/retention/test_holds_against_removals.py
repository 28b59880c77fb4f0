"""A hold that is placed while the intent to delete is written, in two connections: never both, whoever is first.

Each way to hold a restore point is tried: a recovery, a proof, browsing its files, and a copy.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from n2wbackup.lib import clock
from policies.domain.errors import RefusedError
from policies.domain.proofs import Level, Recipe, State
from policies.domain.retention.points import HoldKind
from policies.models import CopyRule, Hold, Policy, Proof, Removal, Run, RunSnapshot
from policies.services.copies import rows
from policies.services.entry import copy_rules
from policies.services.proof import working
from policies.services.retention import holds, planning, removals
from tests.factories import PolicyFactory, alice
from tests.ground.processes import wait_until
from tests.policies.services.retention.rows import DAY, nightly

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.lasts(10)]
WAIT_SECONDS = 30.0
ROUNDS = 5


def _recover(run: Run) -> None:
    holds.take(run.pk, HoldKind.RECOVERY, key=str(uuid4()), reason="restored", until=None)


def _browse(run: Run) -> None:
    holds.take(run.pk, HoldKind.RECOVERY, key=str(uuid4()), reason="looked at", until=None)


def _prove(run: Run) -> None:
    now = clock.now()
    proof = Proof.objects.create(
        run=run,
        policy=run.policy,
        region="us-east-1",
        level=Level.READABLE,
        recipe=Recipe.NONE,
        asked_at=now,
        next_at=now,
    )
    if working._claim(proof.pk) is None:
        proof.refresh_from_db()
        assert proof.state == State.NOT_POSSIBLE
        raise RefusedError(proof.reason)


def _copy(run: Run) -> None:
    assert run.policy is not None
    rule = run.policy.copy_rules.get()
    rows.plan(run, rule, list(RunSnapshot.objects.filter(target__run=run)))


WAYS: list[Callable[[Run], None]] = [_recover, _browse, _prove, _copy]
NAMES = ["recovery", "browsing", "proof", "copying"]


@pytest.fixture(autouse=True)
def moment() -> None:
    """Let the clock go on here."""


@pytest.fixture
def policy() -> Policy:
    made = PolicyFactory.create(owner=alice(), name="policy1", keep_last=1)
    copy_rules.replace(made, [CopyRule(region="eu-west-1")])
    return made


def _going(policy: Policy) -> Run:
    """Return a restore point whose removal is due."""
    old = nightly(policy, 3)[2]
    past = clock.now() - DAY
    Removal.objects.create(run=old, why="too old", announced_at=past - DAY, goes_after=past)
    return old


def _begin(policy: Policy) -> None:
    removals.begin(policy.pk, 25, removals.lasts(policy.pk))


class Side(threading.Thread):
    """A process of its own, as far as the database can tell."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.act, self.refused, self.error = act, "", None

    error: BaseException | None

    def run(self) -> None:
        try:
            self.act()
        except RefusedError as error:
            self.refused = str(error)
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self.error = error
        finally:
            connection.close()

    def end(self) -> None:
        self.join(WAIT_SECONDS)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error


@contextmanager
def stood(side: Side, owner: Any, name: str) -> Iterator[None]:
    """Let the side stand behind the first call of this function until the block ends."""
    reached, go = threading.Event(), threading.Event()
    real = getattr(owner, name)

    def standing(*args: Any, **kwargs: Any) -> Any:
        found = real(*args, **kwargs)
        if threading.current_thread() is side and not reached.is_set():
            reached.set()
            assert go.wait(WAIT_SECONDS)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, standing)
        side.start()
        try:
            assert reached.wait(WAIT_SECONDS), side.error or side.refused
            yield
        finally:
            go.set()


def _at_once(barrier: threading.Barrier, act: Callable[[], None]) -> None:
    barrier.wait(WAIT_SECONDS)
    act()


def _wait_for_a_lock() -> None:
    """Return when a connection to this database waits for a lock of another one."""
    sql = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    def waits() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return bool(cursor.fetchone()[0])

    wait_until(waits, seconds=WAIT_SECONDS, what="the other side waits for the lock")


def _is_held(run: Run) -> bool:
    return Hold.objects.filter(run=run, released_at=None).exists()


def _has_begun(run: Run) -> bool:
    return Removal.objects.filter(run=run, begun_at__isnull=False).exists()


@pytest.fixture
def locks() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite lets one connection write at a time: see the race below")


@pytest.mark.usefixtures("locks")
@pytest.mark.parametrize("way", WAYS, ids=NAMES)
def test_the_intent_comes_first_and_the_hold_waits_and_is_refused(
    policy: Policy, way: Callable[[Run], None]
) -> None:
    run = _going(policy)
    deleting, holding = Side(lambda: _begin(policy)), Side(lambda: way(run))
    # Behind the second of its locks, and before it writes anything.
    with stood(deleting, removals, "_locked"):
        holding.start()
        _wait_for_a_lock()
        assert not _has_begun(run)
    deleting.end()
    holding.end()

    assert _has_begun(run)
    assert not _is_held(run)
    assert "being deleted" in holding.refused


@pytest.mark.usefixtures("locks")
@pytest.mark.parametrize("way", WAYS, ids=NAMES)
def test_the_hold_comes_first_and_the_intent_waits_and_is_not_written(
    policy: Policy, way: Callable[[Run], None]
) -> None:
    run = _going(policy)
    deleting, holding = Side(lambda: _begin(policy)), Side(lambda: way(run))
    with stood(holding, Hold, "save"):
        deleting.start()
        _wait_for_a_lock()
        assert not _is_held(run)
    holding.end()
    deleting.end()

    assert _is_held(run)
    assert not _has_begun(run)
    assert planning.of_runs([run])[run.pk].keep


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
def test_at_the_same_moment_exactly_one_of_them_wins(
    policy: Policy, way: Callable[[Run], None]
) -> None:
    for _ in range(ROUNDS):
        run = _going(policy)
        barrier = threading.Barrier(2)
        acts: list[Callable[[], None]] = [partial(_begin, policy), partial(way, run)]
        sides = [Side(partial(_at_once, barrier, act)) for act in acts]
        for side in sides:
            side.start()
        for side in sides:
            side.end()

        assert _is_held(run) != _has_begun(run)
        assert bool(sides[1].refused) == _has_begun(run)
        Proof.objects.all().delete()
        Hold.objects.all().delete()
        Removal.objects.all().delete()
