"""Calendars show what ended on each day, whether the day is summed or not, and only to whom it belongs."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine

from policies.models import DailyCount, DailySum, Policy
from policies.selectors import calendars
from policies.services.retention import ages, sums
from scripts_admin.models import User
from tests import factories

pytestmark = pytest.mark.django_db
TODAY = date(2026, 3, 10)


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(datetime(2026, 3, 10, 12, tzinfo=UTC), tick=False) as traveller:
        yield traveller


def count(policy: Policy, days_ago: int, state: str = "succeeded", runs: int = 1) -> None:
    day = TODAY - timedelta(days=days_ago)
    DailyCount.objects.create(policy=policy, day=day, state=state, runs=runs)


def seen(person: User) -> dict[date, dict[str, int]]:
    return {day: dict(states) for day, states in calendars.of_visible(person).items()}


def test_a_day_is_the_same_before_and_after_it_is_summed() -> None:
    alice, boss = factories.alice(), User.objects.create(username="boss", is_superuser=True)
    hers, too = (factories.PolicyFactory.create(owner=alice) for _ in range(2))
    his = factories.PolicyFactory.create(owner=factories.charlie())
    for ago in (0, 1, 40):
        count(hers, ago, runs=2)
        count(too, ago)
        count(hers, ago, "failed")
        count(his, ago)
    days = [TODAY - timedelta(days=ago) for ago in (40, 1, 0)]

    def check() -> None:
        assert seen(alice) == {day: {"succeeded": 3, "failed": 1} for day in days}
        assert seen(boss) == {day: {"succeeded": 4, "failed": 1} for day in days}
        assert seen(factories.charlie()) == {day: {"succeeded": 1} for day in days}
        assert seen(factories.bob()) == {}

    check()
    assert sums.tick() == 2
    check()
    assert sums.tick() == 0
    assert not DailySum.objects.filter(day=TODAY).exists()


def test_what_a_policy_did_stays_true_when_it_is_deleted() -> None:
    policy = factories.PolicyFactory.create(owner=factories.alice())
    count(policy, 1)
    sums.tick()

    policy.delete()

    assert seen(factories.alice()) == {TODAY - timedelta(days=1): {"succeeded": 1}}


def test_the_days_of_one_policy_are_its_own_and_of_53_weeks() -> None:
    policy, other = (factories.PolicyFactory.create(owner=factories.alice()) for _ in range(2))
    count(policy, 0, "missed", 5)
    count(policy, 370)
    count(policy, 371)
    count(other, 0)

    found = calendars.of_policies([policy.pk])[policy.pk]

    assert {day: dict(states) for day, states in found.items()} == {
        TODAY - timedelta(days=370): {"succeeded": 1},
        TODAY: {"missed": 5},
    }
    assert list(found) == sorted(found)


def test_an_inactive_person_sees_no_day() -> None:
    policy = factories.PolicyFactory.create(owner=factories.alice())
    count(policy, 0)
    count(policy, 1)
    sums.tick()
    policy.owner.is_active = False

    assert seen(policy.owner) == {}


def test_a_day_that_was_summed_while_the_clock_was_ahead_is_counted_on(
    clock: time_machine.Traveller,
) -> None:
    policy = factories.PolicyFactory.create(owner=factories.alice())
    count(policy, 0)
    clock.move_to(datetime(2026, 3, 11, 1, tzinfo=UTC))
    assert sums.tick() == 1

    clock.move_to(datetime(2026, 3, 10, 12, tzinfo=UTC))
    DailyCount.objects.update(runs=7)
    sums.tick()

    assert seen(policy.owner) == {TODAY: {"succeeded": 7}}


def test_sums_are_deleted_with_the_counts_of_their_age() -> None:
    policy = factories.PolicyFactory.create(owner=factories.alice())
    count(policy, 1)
    count(policy, 1200)
    sums.tick()

    ages.tick()

    assert set(DailySum.objects.values_list("day", flat=True)) == {TODAY - timedelta(days=1)}
    assert sums.tick() == 0
