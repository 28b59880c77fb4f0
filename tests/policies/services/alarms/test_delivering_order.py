"""Of two messages on one freeze the older one never comes last; sent to a real receiver on loopback."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine

from n2wbackup.lib import clock
from policies.models import AlarmDelivery, AlarmReceivers, Policy, Run
from policies.services.alarms import delivering, receivers
from scripts_admin.models import User
from tests import factories
from tests.ground.receivers import Webhook
from tests.policies.services.posting import fail, freeze, succeed, tell, thaw


@pytest.fixture
def policy(db: None, hook: Webhook) -> Policy:
    made = factories.PolicyFactory.create(owner=factories.alice(), name="policy1")
    tell(f"{hook.json_url}/x", policy=made)
    return made


def tell_root(url: str) -> User:
    root = factories.UserFactory.create(username="root1", is_superuser=True)
    tell(url, user=root)
    return root


def send_in_vain(hook: Webhook) -> None:
    """Have the receiver refuse what is due: it is sent again in a while."""
    hook.status = 500
    assert delivering.send_all() > 0
    hook.status = 200
    hook.requests.clear()


def frozen(hook: Webhook) -> list[bool]:
    """Return of each message that came whether it says that something may be frozen; send the repetitions first."""
    with time_machine.travel(clock.now() + timedelta(minutes=5)):
        delivering.send_all()
    return ["MAY BE FROZEN" in title for title in hook.titles]


def test_a_freeze_is_not_told_after_its_thaw(policy: Policy, hook: Webhook) -> None:
    freeze(policy)
    send_in_vain(hook)
    thaw(policy)

    delivering.send_all()

    assert frozen(hook) == [False]
    late, told = AlarmDelivery.objects.order_by("pk")
    assert (late.state, late.reason) == ("given_up", delivering.SUPERSEDED)
    assert told.state == "sent"


def test_a_thaw_is_not_told_after_the_next_freeze(policy: Policy, hook: Webhook) -> None:
    freeze(policy)
    delivering.send_all()
    thaw(policy)
    send_in_vain(hook)
    freeze(policy)

    delivering.send_all()

    assert frozen(hook) == [True]


def test_a_freeze_is_told_after_the_thaw_of_another_policy(policy: Policy, hook: Webhook) -> None:
    owner = policy.owner
    other = factories.PolicyFactory.create(owner=owner, name="other")
    tell(f"{hook.json_url}/owner", user=owner)
    freeze(other)
    delivering.send_all()
    freeze(policy)
    send_in_vain(hook)
    thaw(other)

    assert sorted(frozen(hook)) == [False, True, True]


def test_each_url_of_a_receiver_is_told(policy: Policy, hook: Webhook) -> None:
    tell(f"{hook.json_url}/x {hook.json_url}/y", policy=policy)
    freeze(policy)

    delivering.send_all()

    assert sorted(hook.paths) == ["/x", "/y"]


def test_a_thaw_waits_for_its_freeze_that_is_on_its_way(policy: Policy, hook: Webhook) -> None:
    freeze(policy)
    delivering.spread()
    on_its_way = delivering.claim()
    assert on_its_way is not None
    thaw(policy)

    assert delivering.send_all() == 0
    delivering.send(on_its_way)
    assert delivering.send_all() == 1

    assert frozen(hook) == [True, False]


def test_a_freeze_waits_for_no_thaw_that_is_on_its_way(policy: Policy, hook: Webhook) -> None:
    freeze(policy)
    delivering.send_all()
    thaw(policy)
    delivering.spread()
    assert delivering.claim() is not None
    hook.requests.clear()
    freeze(policy)

    assert delivering.send_all() == 1

    assert frozen(hook) == [True]


def test_a_freeze_is_not_told_after_its_thaw_to_receivers_that_were_entered_anew(
    policy: Policy, hook: Webhook
) -> None:
    freeze(policy)
    send_in_vain(hook)
    AlarmReceivers.objects.all().delete()
    tell(f"{hook.json_url}/x", policy=policy)
    thaw(policy)

    delivering.send_all()

    assert frozen(hook) == [False]


def test_a_freeze_is_not_told_after_its_thaw_where_the_url_is_another_receivers_now(
    policy: Policy, hook: Webhook
) -> None:
    root = tell_root(f"{hook.json_url}/x")
    freeze(policy)
    send_in_vain(hook)
    receivers.save(receivers.of(user=root), {"urls": ""})
    thaw(policy)

    delivering.send_all()

    assert frozen(hook) == [False]


def test_freezes_of_deleted_policies_are_all_told(policy: Policy, hook: Webhook) -> None:
    tell_root(f"{hook.json_url}/root")
    freeze(policy)
    freeze(factories.PolicyFactory.create(owner=policy.owner, name="other"))
    send_in_vain(hook)
    Policy.objects.all().delete()

    frozen(hook)

    told = [body["title"].split()[0] for _, path, body in hook.requests if path == "/root"]
    assert sorted(told) == ["alice/other", "alice/policy1"]


def test_a_thaw_between_two_watchdogs_is_told_last(
    policy: Policy, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze(policy)
    send_in_vain(hook)
    taken, others = delivering._take, list[delivering.Batch | None]()

    def thawed_meanwhile(*it: Any) -> bool:
        if not others:
            thaw(policy)
            delivering.spread()
            others.append(None)
            others.append(delivering.claim(urgent_owners=[policy.owner_id]))
        return taken(*it)

    monkeypatch.setattr(delivering, "_take", thawed_meanwhile)
    with time_machine.travel(clock.now() + timedelta(minutes=5)):
        mine, other = delivering.claim(), others[-1]
        assert mine is not None
        assert other is not None
        delivering.send(other)
        delivering.send(mine)

    assert frozen(hook) == [False]


def test_a_freeze_is_told_again_where_the_thaw_before_it_may_have_come_after_it(
    policy: Policy, hook: Webhook
) -> None:
    freeze(policy)
    delivering.send_all()
    thaw(policy)
    delivering.spread()
    on_its_way = delivering.claim()
    assert on_its_way is not None
    freeze(policy)
    delivering.send_all()

    delivering.send(on_its_way)

    assert frozen(hook) == [True, True, False, True]


def test_superusers_are_told_of_the_thaw_of_what_they_were_told_from_the_spool(
    policy: Policy, hook: Webhook
) -> None:
    tell_root(f"{hook.json_url}/root")
    freeze(policy)
    delivering.spread(waiting={Run.objects.get().pk})
    thaw(policy)

    delivering.send_all()

    assert sorted(hook.paths) == ["/root", "/x"]
    assert frozen(hook) == [False, False]


def test_superusers_are_told_of_the_thaw_of_what_they_were_told_may_be_frozen(
    policy: Policy, hook: Webhook
) -> None:
    tell_root(f"{hook.json_url}/root")
    freeze(policy)
    delivering.send_all()
    hook.requests.clear()
    thaw(policy)

    delivering.send_all()
    assert sorted(hook.paths) == ["/root", "/x"]

    hook.requests.clear()
    with time_machine.travel(clock.now() + timedelta(hours=2)):
        fail(policy)
        delivering.send_all()
        succeed(policy)
        delivering.send_all()
    assert hook.paths == ["/x", "/x"]
