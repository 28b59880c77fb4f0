"""Quiet hours and mutes with real rows and a real receiver: told later, together, or not at all; a freeze at once."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from django.core.exceptions import ValidationError

from n2wbackup.lib import clock
from policies.models import Alarm, AlarmDelivery, AlarmMute, Policy
from policies.services.alarms import delivering, muting, receivers
from scripts_admin.models import AuditEntry
from tests import factories
from tests.ground.receivers import Webhook
from tests.policies.services.posting import fail, freeze, ping, succeed, tell, thaw

pytestmark = pytest.mark.usefixtures("loopback")
NIGHT, MORNING = "2026-12-01T23:00:00Z", "2026-12-02T06:00:01Z"


@pytest.fixture
def policy(db: None) -> Policy:
    return factories.PolicyFactory.create(owner=factories.alice(), name="policy1")


@pytest.fixture
def time() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NIGHT, tick=False) as traveller:
        yield traveller


@pytest.fixture
def sleeping(policy: Policy, hook: Webhook, time: time_machine.Traveller) -> Policy:
    """Give a policy whose owner is quiet from 22:00 to 06:00."""
    found = tell(f"{hook.json_url}/owner", user=policy.owner)
    assert receivers.set_quiet(found, ["22:00-06:00"], "UTC")
    assert time is not None
    return policy


def muted(policy: Policy, hours: float = 4) -> None:
    muting.mute(
        policy, until=clock.now() + timedelta(hours=hours), reason="maintenance", by="alice"
    )


def titles(hook: Webhook) -> list[str]:
    return hook.titles


def test_at_night_nothing_comes_and_in_the_morning_it_does(
    sleeping: Policy, hook: Webhook, time: time_machine.Traveller
) -> None:
    fail(sleeping)
    delivering.send_all()
    assert hook.requests == []
    time.shift(timedelta(hours=3))
    delivering.send_all()
    assert hook.requests == []

    time.move_to(MORNING)
    delivering.send_all()

    assert titles(hook) == ["alice/policy1: backup failed"]
    assert AlarmDelivery.objects.get().state == AlarmDelivery.State.SENT


def test_several_come_as_one_message(
    sleeping: Policy, hook: Webhook, time: time_machine.Traveller
) -> None:
    for name in ("other", "third"):
        fail(factories.PolicyFactory.create(owner=sleeping.owner, name=name))
    fail(sleeping)
    delivering.send_all()

    time.move_to(MORNING)
    delivering.send_all()

    assert titles(hook) == ["3 messages from your quiet hours"]
    text = hook.requests[0][2]["message"]
    assert all(f"alice/{name}: backup failed" in text for name in ("other", "third", "policy1"))
    assert not AlarmDelivery.objects.exclude(state=AlarmDelivery.State.SENT).exists()


def test_what_is_over_by_then_is_not_told(
    sleeping: Policy, hook: Webhook, time: time_machine.Traveller
) -> None:
    fail(sleeping)
    delivering.send_all()
    time.shift(timedelta(hours=2))
    succeed(sleeping)
    delivering.send_all()

    time.move_to(MORNING)
    delivering.send_all()

    assert titles(hook) == ["alice/policy1 has recovered"]
    assert AlarmDelivery.objects.order_by("pk").first().reason == delivering.SUPERSEDED  # type: ignore[union-attr]


def test_what_may_be_frozen_wakes_and_its_thaw_is_told_at_once(
    sleeping: Policy, hook: Webhook
) -> None:
    muted(sleeping)

    freeze(sleeping)
    delivering.send_all()
    assert "MAY BE FROZEN" in titles(hook)[0]
    thaw(sleeping)
    delivering.send_all()

    assert titles(hook)[1:] == ["alice/policy1 has recovered"]


def test_a_long_night_is_no_try(
    sleeping: Policy, hook: Webhook, time: time_machine.Traveller
) -> None:
    found = receivers.of(user=sleeping.owner)
    receivers.set_quiet(found, ["mon tue wed thu 00:00-24:00"], "UTC")
    fail(sleeping)
    delivering.send_all()
    hook.status = 500

    time.move_to("2026-12-04T00:00:01Z")
    delivering.send_all()

    assert AlarmDelivery.objects.get().state == AlarmDelivery.State.PENDING


def test_other_quiet_hours_hold_at_once(sleeping: Policy, hook: Webhook) -> None:
    fail(sleeping)
    delivering.send_all()

    receivers.set_quiet(receivers.of(user=sleeping.owner), [], "UTC")
    delivering.send_all()

    assert len(hook.requests) == 1


def test_a_clock_that_is_put_back_keeps_nothing_back(
    sleeping: Policy, hook: Webhook, time: time_machine.Traveller
) -> None:
    fail(sleeping)
    delivering.send_all()

    time.move_to("2026-11-01T12:00:00Z")
    delivering.send_all()

    assert len(hook.requests) == 1


def test_a_muted_policys_alarms_count_up_and_are_told_once(
    policy: Policy, hook: Webhook, time: time_machine.Traveller
) -> None:
    tell(f"{hook.json_url}/owner", user=policy.owner)
    muted(policy)
    for _ in range(3):
        fail(policy)
        delivering.send_all()
        time.shift(timedelta(minutes=70))
    assert hook.requests == []

    time.shift(timedelta(hours=1))
    delivering.send_all()

    assert titles(hook) == ["alice/policy1: backup failed"]
    assert "3 such messages since" in hook.requests[0][2]["message"]


def test_a_muted_failure_that_is_over_is_only_counted(
    policy: Policy, hook: Webhook, time: time_machine.Traveller
) -> None:
    tell(f"{hook.json_url}/owner", user=policy.owner)
    muted(policy)
    fail(policy)
    time.shift(timedelta(hours=2))
    succeed(policy)
    delivering.send_all()
    assert hook.requests == []

    time.shift(timedelta(hours=3))
    delivering.send_all()

    assert titles(hook) == ["alice/policy1 has recovered"]
    assert "There were 1 more problems" in hook.requests[0][2]["message"]


def test_another_policy_is_not_muted(policy: Policy, hook: Webhook) -> None:
    tell(f"{hook.json_url}/owner", user=policy.owner)
    muted(factories.PolicyFactory.create(owner=policy.owner, name="other"))

    fail(policy)
    delivering.send_all()

    assert len(hook.requests) == 1


@pytest.mark.usefixtures("time")
def test_pings_are_for_programs_and_never_wait(policy: Policy, hook: Webhook) -> None:
    ping(policy, f"{hook.url}/ping")
    receivers.set_quiet(receivers.of(policy=policy), ["22:00-06:00"], "UTC")
    muted(policy)

    fail(policy)
    delivering.send_all()

    assert hook.paths == ["/ping/fail"]


def test_unmuting_tells_what_was_held_back(policy: Policy, hook: Webhook) -> None:
    tell(f"{hook.json_url}/owner", user=policy.owner)
    muted(policy)
    fail(policy)
    delivering.send_all()

    assert muting.unmute(policy)
    delivering.send_all()

    assert len(hook.requests) == 1
    assert not muting.unmute(policy)


def test_being_muted_is_no_try(policy: Policy, hook: Webhook, time: time_machine.Traveller) -> None:
    tell(f"{hook.json_url}/owner", user=policy.owner)
    muted(policy, hours=48)
    fail(policy)
    hook.status = 500

    time.shift(timedelta(hours=49))
    delivering.send_all()
    assert AlarmDelivery.objects.get().state == AlarmDelivery.State.PENDING
    time.shift(timedelta(hours=25))
    delivering.send_all()

    assert AlarmDelivery.objects.get().state == AlarmDelivery.State.GIVEN_UP


def test_a_mute_ends_by_itself(policy: Policy, time: time_machine.Traveller) -> None:
    muted(policy, hours=1)
    assert muting.of(policy) is not None

    time.shift(timedelta(minutes=61))

    assert muting.of(policy) is None


@pytest.mark.parametrize(("days", "reason"), [(31, "x"), (-1, "x"), (1, " "), (1, "x" * 501)])
def test_a_mute_without_an_end_or_a_reason_is_refused(
    policy: Policy, days: int, reason: str
) -> None:
    with pytest.raises(ValidationError):
        muting.mute(policy, until=clock.now() + timedelta(days=days), reason=reason, by="alice")

    assert not AlarmMute.objects.exists()


def test_mutes_and_quiet_hours_are_in_the_audit(sleeping: Policy) -> None:
    AuditEntry.objects.all().delete()

    muted(sleeping)
    muting.unmute(sleeping)
    receivers.set_quiet(receivers.of(user=sleeping.owner), ["sat sun 00:00-24:00"], "UTC")

    entries = AuditEntry.objects.order_by("pk")
    assert [entry.action for entry in entries] == ["muted", "unmuted", "changed"]
    assert entries[0].reason == "maintenance"
    assert entries[2].changes == [["quiet hours", "22:00-06:00", "sat sun 00:00-24:00"]]


def test_alarms_of_a_deleted_policy_still_go_out(policy: Policy, hook: Webhook) -> None:
    tell(f"{hook.json_url}/owner", user=policy.owner)
    muted(policy)
    fail(policy)

    Alarm.objects.update(policy=None)
    delivering.send_all()

    assert len(hook.requests) == 1
