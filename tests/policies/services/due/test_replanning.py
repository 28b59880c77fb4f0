"""Next due times are computed again from the rules, each rule once, and nothing newer is overwritten."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine

from policies.domain.schedules import reckoning
from policies.models import Policy, Schedule
from policies.services.due import replanning
from policies.services.entry import policies, schedules
from tests import factories


def clock_time(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 6, 1, hour, minute, tzinfo=UTC)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(clock_time(12), tick=False) as traveller:
        yield traveller


@pytest.fixture
def policy(db: None, clock: time_machine.Traveller) -> Policy:
    """Alice's policy, due each hour."""
    made = factories.PolicyFactory.create(owner=factories.alice(), name="policy1")
    row = Schedule(owner=made.owner, name="hourly", cron="0 * * * *")
    schedules.save(row)
    policies.save(made, [row])
    return made


def test_a_time_zone_that_is_known_again_or_has_other_rules_is_seen_within_the_hour(
    policy: Policy, clock: time_machine.Traveller
) -> None:
    assert replanning.replan() == 0

    for wrong in (None, clock_time(15)):
        Policy.objects.update(next_run_at=wrong)
        assert replanning.replan() == 1
        policy.refresh_from_db()
        assert policy.next_run_at == clock_time(13)

    clock.move_to(clock_time(13, 1))
    assert replanning.replan() == 0  # what is due is the tick's


def test_each_rule_is_reckoned_once_however_many_policies_follow_it(
    policy: Policy, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = policy.schedules.get()
    for number in range(4):
        more = Policy(owner=policy.owner, account=policy.account, name=f"more{number}")
        policies.save(more, [schedule])
    Policy.objects.exclude(name="more3").update(next_run_at=clock_time(15))
    asked, following = [], reckoning.following

    def counted(*given: Any) -> Any:
        asked.append(given)
        return following(*given)

    monkeypatch.setattr(reckoning, "following", counted)

    assert replanning.replan() == 4

    assert len(asked) == 1
    assert set(Policy.objects.values_list("next_run_at", flat=True)) == {clock_time(13)}


def test_what_another_process_has_planned_meanwhile_stays(
    policy: Policy, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    Policy.objects.update(next_run_at=clock_time(15))
    following = reckoning.following

    def slow(*given: Any) -> Any:
        Policy.objects.update(next_run_at=clock_time(16))
        return following(*given)

    monkeypatch.setattr(reckoning, "following", slow)

    assert replanning.replan() == 0
    assert Policy.objects.get().next_run_at == clock_time(16)
