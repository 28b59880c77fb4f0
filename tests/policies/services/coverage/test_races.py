"""Refreshes and edits at the same moment, in threads with connections of their own."""

import threading
from collections.abc import Callable
from functools import partial

import pytest
from django.db import connection

from policies.adapters.memory import MemoryCloud
from policies.models import EnrolRule, InventoryItem, InventoryPlace, Policy, PolicyTarget
from policies.services.coverage import refreshing
from policies.services.entry import chosen, policies, rules
from tests import factories

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.lasts(10)]

REGION = "us-east-1"
ROUNDS = 6


@pytest.fixture(autouse=True)
def moment() -> None:
    """Let the clock go on here."""


@pytest.fixture
def policy(cloud: MemoryCloud) -> Policy:
    made = factories.PolicyFactory.create(owner=factories.alice(), name="shop")
    chosen.follow(made.account)
    rule = EnrolRule(account=made.account, policy=made, what="volumes", tag="backup", value="shop")
    rules.add(rule, by=made.owner)
    return made


def at_once(*acts: Callable[[], object]) -> list[object]:
    """Do all at the same moment; return what came of them."""
    barrier, results = threading.Barrier(len(acts)), dict[int, object]()

    def act(number: int) -> None:
        try:
            barrier.wait()
            results[number] = acts[number]()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            results[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=act, args=(number,)) for number in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[number] for number in range(len(acts))]


def test_a_refresh_and_an_edit_lose_neither(policy: Policy, cloud: MemoryCloud) -> None:
    enrolled = set()
    for number in range(ROUNDS):
        one = cloud.add_volume().volume_id
        cloud.retag(one, {"backup": "shop"})
        enrolled.add(one)
        refreshing.soon(policy.account)
        hand = f"i-{number:017x}"
        edit = [PolicyTarget(instance_id=hand, region=REGION)]

        results = at_once(refreshing.tick, partial(policies.replace_targets, policy, edit))

        assert results == [1, True]
        found = {str(row): row.rule_id is not None for row in policy.targets.all()}
        assert found == {hand: False} | dict.fromkeys(enrolled, True)


def test_of_several_refreshes_each_thing_is_entered_once(
    policy: Policy, cloud: MemoryCloud
) -> None:
    for _ in range(ROUNDS):
        one = cloud.add_volume().volume_id
        cloud.retag(one, {"backup": "shop"})
        refreshing.soon(policy.account)

        results = at_once(*[refreshing.tick] * 4)

        assert sum(int(str(each)) for each in results) == 1
    assert InventoryItem.objects.count() == policy.targets.count() == ROUNDS
    assert InventoryPlace.objects.get().problem == ""


def test_a_refresh_whose_claim_was_taken_over_writes_nothing(
    policy: Policy, cloud: MemoryCloud
) -> None:
    cloud.add_volume()
    place = refreshing._claim()
    assert place is not None
    refreshing.soon(policy.account)

    results = at_once(lambda: refreshing.refresh(place), refreshing.tick)

    assert results == [False, 1]
    assert InventoryItem.objects.count() == 1
