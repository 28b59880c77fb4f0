"""The watchdog's post office, with real receivers that hang: no tenant's receivers delay another's."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine

from n2wbackup.lib import clock
from policies.models import AlarmDelivery, AlarmReceivers, Policy
from policies.services.alarms import delivering
from policies.services.watch.from_spool import SpoolAlarms
from policies.services.watch.post_office import Outbox
from tests import factories
from tests.ground import processes
from tests.ground import receivers as ground
from tests.ground.receivers import Webhook
from tests.policies.services.posting import fail, freeze, tell, thaw

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def outbox(own_home: Path) -> Outbox:
    return Outbox(SpoolAlarms(own_home, own_home))


@contextmanager
def hanging(outbox: Outbox, happens: Callable[[Policy], None], requests: int) -> Iterator[None]:
    """Let five receivers of one user hang, of five policies with that alarm, until `requests` of them are open."""
    owner = factories.alice()
    with ground.webhook(hangs=threading.Event()) as slow:
        for number in range(5):
            stalling = factories.PolicyFactory.create(owner=owner, name=f"s{number}")
            tell(f"{slow.json_url}/{number}", policy=stalling)
            happens(stalling)
        outbox.turn()
        outbox.turn()
        processes.wait_until(
            lambda: len(slow.requests) == requests, seconds=60, what="requests that hang"
        )
        yield
        assert len(slow.requests) == requests
        assert slow.hangs is not None
        slow.hangs.set()
        for thread in list(outbox._open):
            thread.join(30)


@pytest.mark.parametrize(("happens", "requests"), [(fail, 1), (freeze, 2)])
@pytest.mark.parametrize("to_another", [fail, freeze])
def test_no_users_receivers_keep_another_users_waiting(
    hook: Webhook,
    outbox: Outbox,
    happens: Callable[[Policy], None],
    requests: int,
    to_another: Callable[[Policy], None],
) -> None:
    another = factories.PolicyFactory.create(owner=factories.charlie())
    tell(f"{hook.json_url}/x", policy=another)
    with hanging(outbox, happens, requests):
        to_another(another)

        outbox.turn()

        processes.wait_until(lambda: bool(hook.titles), seconds=60, what="another user's alarm")
    assert AlarmDelivery.objects.filter(state="sent").count() == requests + 1


def test_what_may_be_frozen_waits_for_no_other_alarm_of_its_user(
    hook: Webhook, outbox: Outbox
) -> None:
    with hanging(outbox, fail, 1):
        policy = factories.PolicyFactory.create(owner=factories.alice(), name="policy1")
        tell(f"{hook.json_url}/x", policy=policy)
        fail(policy)
        freeze(policy)

        outbox.turn()

        processes.wait_until(lambda: bool(hook.titles), seconds=60, what="the urgent one")
        assert ["MAY BE FROZEN" in title for title in hook.titles] == [True]


def test_all_of_one_users_receivers_are_told_in_the_end(hook: Webhook, outbox: Outbox) -> None:
    owner = factories.alice()
    for number in range(5):
        policy = factories.PolicyFactory.create(owner=owner, name=f"policy{number}")
        tell(f"{hook.json_url}/{number}", policy=policy)
        (freeze if number % 2 else fail)(policy)

    for _ in range(3):
        outbox.turn()
        for thread in list(outbox._open):
            thread.join(30)

    assert sorted(hook.paths) == [f"/{number}" for number in range(5)]


def test_who_deletes_receivers_that_hang_gets_no_more_of_the_senders(
    hook: Webhook, outbox: Outbox
) -> None:
    with hanging(outbox, freeze, 2):
        AlarmReceivers.objects.all().delete()
        outbox.turn()

        assert len(outbox._open) == 2


def test_what_is_overtaken_costs_no_other_user_a_turn(hook: Webhook, outbox: Outbox) -> None:
    owner = factories.alice()
    made = [factories.PolicyFactory.create(owner=owner, name=f"policy{n}") for n in range(5)]
    for policy in made:
        tell(f"{hook.json_url}/{policy.name}", policy=policy)
        freeze(policy)
    hook.status = 500
    delivering.send_all()
    for policy in made:
        thaw(policy)
    hook.status = 200
    another = factories.PolicyFactory.create(owner=factories.charlie())
    tell(f"{hook.json_url}/another", policy=another)

    with time_machine.travel(clock.now() + timedelta(minutes=1)):
        freeze(another)
        outbox.turn()
        for thread in list(outbox._open):
            thread.join(30)

    assert "/another" in hook.paths
