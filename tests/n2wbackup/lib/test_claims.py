from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from django.db import connection

from n2wbackup.lib import claims
from policies.domain.trials import Kind, State
from policies.models import Trial
from tests.factories import PolicyFactory

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLAIM, SECOND = timedelta(minutes=10), timedelta(seconds=1)
pytestmark = pytest.mark.django_db


@pytest.fixture
def trial() -> Trial:
    return Trial.objects.create(
        policy=PolicyFactory.create(), kind=Kind.DRILL, asked_at=NOW, next_at=NOW
    )


@pytest.mark.parametrize(
    ("ahead", "is_due"),
    [
        (-SECOND, True),
        (timedelta(), True),
        (SECOND, False),
        (CLAIM, False),
        (CLAIM + timedelta(minutes=1), False),  # as far as clocks of servers differ
        (CLAIM + timedelta(minutes=1) + SECOND, True),  # it was set before the clock was put back
    ],
)
def test_a_row_is_due_when_its_claim_has_run_out_or_is_longer_than_any(
    trial: Trial, ahead: timedelta, is_due: bool
) -> None:
    trial.next_at = NOW + ahead
    trial.save()

    assert claims.is_due(trial, NOW, CLAIM) is is_due
    assert Trial.objects.filter(claims.due(NOW, CLAIM)).exists() is is_due


def test_whoever_takes_a_row_has_it_until_the_claim_runs_out(trial: Trial) -> None:
    assert claims.take(trial, CLAIM, NOW, state=State.WORKING, tries=1)

    assert (trial.next_at, trial.state, trial.tries) == (NOW + CLAIM, State.WORKING, 1)
    trial.refresh_from_db()
    assert (trial.next_at, trial.state, trial.tries) == (NOW + CLAIM, State.WORKING, 1)
    assert not claims.is_due(trial, NOW + CLAIM - SECOND, CLAIM)
    assert claims.is_due(trial, NOW + CLAIM, CLAIM)


def test_who_lost_the_claim_changes_nothing(trial: Trial) -> None:
    late = Trial.objects.get(pk=trial.pk)
    assert claims.take(late, CLAIM, NOW)
    assert claims.take(trial, CLAIM, NOW) is False
    assert trial.next_at == NOW

    later = Trial.objects.get(pk=trial.pk)
    assert claims.take(later, CLAIM, NOW + 2 * CLAIM)
    assert claims.kept(late, state=State.DONE, ended_at=NOW) is False
    assert claims.kept(later, state=State.DONE, ended_at=NOW)
    assert claims.kept(later, waiting_for="no more") is False  # it has ended
    assert claims.take(later, CLAIM, NOW + 9 * CLAIM) is False
    trial.refresh_from_db()
    assert (trial.state, trial.waiting_for) == (State.DONE, "")


@pytest.mark.django_db(transaction=True)
def test_of_many_who_race_exactly_one_takes_it(trial: Trial) -> None:
    racers = 8
    barrier = Barrier(racers)

    def race(_: int) -> bool:
        mine = Trial.objects.get(pk=trial.pk)
        barrier.wait()
        try:
            return claims.take(mine, CLAIM, NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(racers) as pool:
        won = list(pool.map(race, range(racers)))

    assert won.count(True) == 1
