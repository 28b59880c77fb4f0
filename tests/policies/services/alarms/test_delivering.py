"""The outbox, sent to real receivers on loopback."""

import logging
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.models import Alarm, AlarmDelivery, Policy, Run, Server
from policies.services.alarms import delivering
from policies.services.watch.from_spool import SpoolAlarms
from policies.services.watch.post_office import Outbox
from scripts_admin.models import User
from tests import factories
from tests.ground import receivers as ground
from tests.ground.receivers import Webhook
from tests.policies.services.posting import TOKEN, fail, freeze, tell

pytestmark = pytest.mark.usefixtures("loopback")


@pytest.fixture
def policy(db: None) -> Policy:
    return factories.PolicyFactory.create(owner=factories.alice(), name="policy1")


def test_everyone_concerned_is_told_each_once(policy: Policy, hook: Webhook) -> None:
    root = factories.UserFactory.create(username="root1", is_superuser=True)
    tell(f"{hook.json_url}/policy {hook.json_url}/both", policy=policy)
    tell(f"{hook.json_url}/owner {hook.json_url}/both", user=policy.owner)
    tell(f"{hook.json_url}/root", user=root)
    tell(f"{hook.json_url}/charlie", user=factories.charlie())
    other = factories.PolicyFactory.create(owner=policy.owner, name="other")
    tell(f"{hook.json_url}/other", policy=other)

    fail(policy)
    delivering.send_all()
    assert sorted(hook.paths) == ["/both", "/owner", "/policy"]

    hook.requests.clear()
    freeze(policy)
    delivering.send_all()
    assert sorted(hook.paths) == ["/both", "/owner", "/policy", "/root"]
    delivering.send_all()
    assert len(hook.paths) == 4


def test_who_has_no_access_any_more_is_not_told(policy: Policy, hook: Webhook) -> None:
    root = factories.UserFactory.create(username="root1", is_superuser=True, is_active=False)
    tell(f"{hook.json_url}/root", user=root)
    tell(f"{hook.json_url}/owner", user=policy.owner)
    User.objects.filter(pk=policy.owner.pk).update(is_active=False)

    freeze(policy)
    delivering.send_all()

    assert hook.requests == []


def test_what_was_sent_is_kept_without_its_url(policy: Policy, hook: Webhook) -> None:
    tell(f"{hook.json_url}/{TOKEN}", policy=policy)
    fail(policy)

    assert delivering.send_all() == 1

    sent = AlarmDelivery.objects.get()
    assert (sent.state, bool(sent.url), sent.attempts) == ("sent", False, 1)
    assert sent.shown == "json://12…0.1"
    assert hook.titles == ["alice/policy1: backup failed"]
    assert "AWS said no." in hook.requests[0][2]["message"]


def test_a_receiver_that_refuses_is_asked_again_and_the_reason_is_kept(
    policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    with ground.webhook(status=500) as hook:
        tell(f"{hook.json_url}/{TOKEN}", policy=policy)
        fail(policy)
        delivering.send_all()
        delivering.send_all()
        assert len(hook.requests) == 1  # not before its pause is over

        waits = AlarmDelivery.objects.get()
        assert (waits.state, waits.attempts) == ("pending", 1)
        assert "500" in waits.reason
        assert clock.now() < waits.next_at < clock.now() + timedelta(seconds=20)
        hook.status = 200
        with time_machine.travel(clock.now() + timedelta(seconds=20)):
            delivering.send_all()

    waits.refresh_from_db()
    assert (waits.state, waits.attempts, waits.reason) == ("sent", 2, "")
    assert TOKEN not in caplog.text
    assert "json://12…0.1" in caplog.text


def test_after_a_day_it_is_given_up_with_its_reason(
    policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    with ground.webhook(status=404) as hook:
        tell(f"{hook.json_url}/{TOKEN}", policy=policy)
        fail(policy)
        with time_machine.travel(clock.now() + timedelta(hours=23)):
            delivering.send_all()
        with time_machine.travel(clock.now() + timedelta(hours=25)):
            delivering.send_all()
            delivering.send_all()

    lost = AlarmDelivery.objects.get()
    assert (lost.state, bool(lost.url), len(hook.requests)) == ("given_up", False, 2)
    assert "404" in lost.reason
    assert TOKEN not in caplog.text + lost.reason


def test_of_two_watchdogs_one_sends(policy: Policy, hook: Webhook) -> None:
    tell(f"{hook.json_url}/x", policy=policy)
    fail(policy)
    assert delivering.spread() == 1
    assert delivering.spread() == 0

    first, second = delivering.claim(), delivering.claim()

    assert first is not None
    assert len(first.deliveries) == 1
    assert second is None
    delivering.send(first)
    assert len(hook.requests) == 1


def test_a_message_of_a_watchdog_that_died_is_sent_by_the_next(
    policy: Policy, hook: Webhook
) -> None:
    tell(f"{hook.json_url}/x", policy=policy)
    fail(policy)
    delivering.spread()
    assert delivering.claim() is not None  # and then nothing

    with time_machine.travel(clock.now() + delivering.CLAIM + timedelta(seconds=1)):
        assert delivering.send_all() == 1

    assert AlarmDelivery.objects.get().state == "sent"


def test_whoever_took_too_long_does_not_take_it_from_the_next(
    policy: Policy, hook: Webhook
) -> None:
    tell(f"{hook.json_url}/x", policy=policy)
    fail(policy)
    delivering.spread()
    slow = delivering.claim()
    assert slow is not None
    with time_machine.travel(clock.now() + delivering.CLAIM + timedelta(seconds=1)):
        quick = delivering.claim()
        assert quick is not None

        delivering._enter(slow.deliveries[0], "too late", clock.now())
        claimed = AlarmDelivery.objects.get()
        assert (claimed.claimed_until, claimed.reason) == (quick.deliveries[0].claimed_until, "")
        delivering.send(quick)

    assert AlarmDelivery.objects.get().state == "sent"


def test_what_may_be_frozen_goes_first(policy: Policy, hook: Webhook) -> None:
    tell(f"{hook.json_url}/x", policy=policy)
    tell(f"{hook.json_url}/owner", user=policy.owner)
    fail(policy)
    freeze(policy)

    delivering.send_all()

    assert ["FROZEN" in title for title in hook.titles] == [True, True, False, False]


def test_what_may_be_frozen_waits_for_no_other_message_to_the_same_receiver(
    policy: Policy, hook: Webhook
) -> None:
    found = tell(f"{hook.json_url}/x", policy=policy)
    fail(policy)
    freeze(policy)
    fail(factories.PolicyFactory.create(owner=policy.owner, name="other"))
    delivering.spread()

    batch = delivering.claim([found.pk], only_urgent=True)

    assert batch is not None
    assert [delivery.alarm.kind for delivery in batch.deliveries] == ["may_be_frozen"]
    assert delivering.claim([found.pk]) is None
    rest = delivering.claim()
    assert rest is not None
    assert [delivery.alarm.kind for delivery in rest.deliveries] == ["failed"]


def test_a_turn_with_nothing_to_send_asks_twice(
    policy: Policy, own_home: Any, django_assert_num_queries: Any
) -> None:
    outbox = Outbox(SpoolAlarms(own_home, own_home))

    with django_assert_num_queries(2):
        outbox.turn()


def test_a_url_that_cannot_be_decrypted_is_told_in_the_outbox(
    policy: Policy, hook: Webhook, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    tell(f"{hook.json_url}/{TOKEN}", policy=policy)
    fail(policy)
    delivering.spread()
    settings.N2W_ENCRYPTION_KEYS = ["A" * 43 + "="]

    delivering.send_all()
    freeze(policy)
    delivering.send_all()

    rows = AlarmDelivery.objects.defer("url")
    assert {row.state for row in rows} == {"given_up"}
    assert all("N2W_ENCRYPTION_KEYS" in row.reason for row in rows)
    assert hook.requests == []
    assert TOKEN not in caplog.text


def test_a_url_that_cannot_be_decrypted_keeps_no_other_receiver_from_being_told(
    policy: Policy, hook: Webhook, settings: Settings
) -> None:
    root = factories.UserFactory.create(username="root", is_superuser=True)
    tell(f"{hook.json_url}/of-root", user=root)
    settings.N2W_ENCRYPTION_KEYS = ["A" * 43 + "="]
    tell(f"{hook.json_url}/{TOKEN}", policy=policy)
    freeze(policy)

    delivering.send_all()

    assert hook.paths == [f"/{TOKEN}"]
    lost, sent = AlarmDelivery.objects.order_by("pk")
    assert (lost.state, sent.state) == ("given_up", "sent")
    assert "N2W_ENCRYPTION_KEYS" in lost.reason


def test_a_run_counts_as_told_once_each_receiver_was_tried(policy: Policy, hook: Webhook) -> None:
    tell(f"{hook.json_url}/x", policy=policy)
    freeze(policy)
    assert delivering.told() == set()
    delivering.spread()
    assert delivering.told() == set()

    delivering.send_all()

    assert delivering.told() == {Alarm.objects.get().run_id}


def test_what_the_library_says_stays_in_the_courier(
    policy: Policy, hook: Webhook, real_courier: None, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    hook.status = 418
    with caplog.at_level(logging.DEBUG):
        tell(f"json://user:{TOKEN}@127.0.0.1:{hook.port}/{TOKEN}?+X-Key={TOKEN}", policy=policy)
        fail(policy)
        delivering.send_all()

    out, err = capfd.readouterr()
    assert TOKEN not in caplog.text + out + err + AlarmDelivery.objects.get().reason
    assert len(hook.requests) == 1


def test_that_something_may_be_frozen_is_sent_by_the_server_that_may_have_sent_it_already(
    policy: Policy, hook: Webhook
) -> None:
    tell(f"{hook.json_url}/x", policy=policy)
    freeze(policy)
    now = clock.now()
    server = Server.objects.create(
        pk="another", host="web1", version="1", first_seen_at=now, heartbeat_at=now
    )
    Run.objects.update(server=server.pk)

    assert delivering.spread() == 0

    Server.objects.update(gone_at=now)  # nobody is left there to send it
    assert delivering.spread() == 1
