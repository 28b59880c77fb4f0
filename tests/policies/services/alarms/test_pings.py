"""Pings of a policy's runs, sent to a real monitor on loopback."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine

from n2wbackup.lib import clock
from policies.domain.runs.sequence import Event, State
from policies.models import AlarmDelivery, Policy
from policies.services import claiming, runs
from policies.services.alarms import delivering
from policies.services.watch.from_spool import SpoolAlarms
from policies.services.watch.post_office import Outbox
from tests import factories
from tests.ground.receivers import Webhook
from tests.policies.services.posting import TOKEN, fail, ping, tell

pytestmark = pytest.mark.usefixtures("loopback")


@pytest.fixture
def policy(db: None) -> Policy:
    return factories.PolicyFactory.create(owner=factories.alice(), name="policy1")


def test_pings_come_in_their_order_and_an_older_one_never_after_a_newer(
    policy: Policy, hook: Webhook
) -> None:
    ping(policy, f"{hook.url}/{TOKEN}")
    run = factories.RunFactory.create(policy=policy)
    assert claiming.take(run.pk) is not None
    hook.status = 500
    delivering.send_all()
    run.refresh_from_db()
    runs.apply(run, Event.NOTHING_LEFT, "nothing left")
    runs.apply(run, Event.COMPLETED, "ended", end=State.FAILED)
    hook.status = 200

    delivering.send_all()
    with time_machine.travel(clock.now() + timedelta(minutes=5)):
        delivering.send_all()

    assert hook.paths == [f"/{TOKEN}/start", f"/{TOKEN}/fail"]
    start, end = AlarmDelivery.objects.order_by("pk")
    assert (start.state, start.reason) == ("given_up", delivering.SUPERSEDED)
    assert end.state == "sent"


def test_a_ping_waits_for_one_that_is_on_its_way(policy: Policy, hook: Webhook) -> None:
    ping(policy, f"{hook.url}/{TOKEN}")
    run = factories.RunFactory.create(policy=policy)
    assert claiming.take(run.pk) is not None
    delivering.spread()
    start = delivering.claim()
    assert start is not None
    run.refresh_from_db()
    runs.apply(run, Event.NOTHING_LEFT, "nothing left")
    runs.apply(run, Event.COMPLETED, "ended", end=State.FAILED)

    assert delivering.send_all() == 0
    delivering.send(start)
    assert delivering.send_all() == 1

    assert hook.paths == [f"/{TOKEN}/start", f"/{TOKEN}/fail"]


@pytest.mark.django_db(transaction=True)
def test_a_ping_that_waits_keeps_no_other_receiver_waiting(hook: Webhook, own_home: Any) -> None:
    policy, other = (
        factories.PolicyFactory.create(owner=factories.alice(), name=name) for name in ("a", "b")
    )
    ping(policy, f"{hook.url}/{TOKEN}")
    run = factories.RunFactory.create(policy=policy)
    assert claiming.take(run.pk) is not None
    delivering.spread()
    assert delivering.claim() is not None  # by a watchdog that has died since
    run.refresh_from_db()
    runs.apply(run, Event.NOTHING_LEFT, "nothing left")
    runs.apply(run, Event.COMPLETED, "ended", end=State.FAILED)
    delivering.spread()
    tell(f"{hook.json_url}/x", policy=other)
    fail(other)
    outbox = Outbox(SpoolAlarms(own_home, own_home))

    outbox.turn()
    for thread in list(outbox._open):
        thread.join(30)

    assert hook.paths == ["/x"]


def test_a_success_pings_the_url_itself(policy: Policy, hook: Webhook) -> None:
    ping(policy, f"{hook.url}/{TOKEN}?a=b")
    run = factories.RunFactory.create(policy=policy, state=State.COMPLETING)
    runs.apply(run, Event.COMPLETED, "ended", end=State.SUCCEEDED)

    delivering.send_all()

    assert hook.paths == [f"/{TOKEN}?a=b"]
