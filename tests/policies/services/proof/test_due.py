"""The proofs that nobody asks for."""

from datetime import timedelta

import pytest

from n2wbackup.lib import clock
from policies.models import Alarm, Policy, Proof, Run, Turn
from policies.services.proof import due
from tests.policies.services.proof.prepared import Provable, restore_point


@pytest.fixture
def wanting(ready: Provable) -> Provable:
    Policy.objects.filter(pk=ready.policy.pk).update(proof_days=7, proof_level=0)
    return ready


def tick() -> int:
    Turn.objects.all().delete()
    return due.tick()


def test_a_policy_is_proven_once_in_a_period(wanting: Provable) -> None:
    assert (tick(), tick()) == (1, 0)

    proof = Proof.objects.get()
    assert (proof.run, proof.level, proof.requested_by) == (wanting.run, 0, "")
    Proof.objects.update(
        state="passed", ended_at=clock.now(), asked_at=clock.now() - timedelta(days=8)
    )
    assert tick() == 1


def test_of_the_last_days_any_restore_point_may_be_picked_and_none_that_is_older(
    wanting: Provable,
) -> None:
    points = {wanting.run.pk} | {restore_point(wanting.policy)[0].pk for _ in range(4)}
    old, _ = restore_point(wanting.policy)
    Run.objects.filter(pk=old.pk).update(created_at=clock.now() - timedelta(days=9))
    picked = set()
    for _ in range(60):
        tick()
        picked |= set(Proof.objects.values_list("run", flat=True))
        Proof.objects.all().delete()

    assert picked == points


def test_without_a_newer_one_the_newest_is_proven(wanting: Provable) -> None:
    Run.objects.update(created_at=clock.now() - timedelta(days=30))

    assert tick() == 1
    assert Proof.objects.get().run == wanting.run


@pytest.mark.parametrize("change", [{"proof_days": 0}, {"enabled": False}])
def test_a_policy_that_wants_none_gets_none(change: dict[str, object], wanting: Provable) -> None:
    Policy.objects.filter(pk=wanting.policy.pk).update(**change)

    assert tick() == 0
    assert not Proof.objects.exists()


def test_a_policy_that_goes_without_for_too_long_raises_one_alarm_a_day(wanting: Provable) -> None:
    Run.objects.update(created_at=clock.now() - timedelta(days=12))
    tick()
    Proof.objects.update(
        state="not_possible", ended_at=clock.now(), reason="nbdkit is not installed."
    )
    tick()

    alarm = Alarm.objects.get()
    assert alarm.kind == "proof_overdue"
    assert "every 7 days" in alarm.text
    Alarm.objects.update(created_at=clock.now() - timedelta(days=2))
    tick()
    assert Alarm.objects.count() == 2
    assert "nbdkit is not installed." in Alarm.objects.order_by("-pk")[0].text


def test_a_policy_that_was_proven_lately_raises_none(wanting: Provable) -> None:
    Run.objects.update(created_at=clock.now() - timedelta(days=12))
    tick()
    Proof.objects.update(state="passed", ended_at=clock.now())
    Alarm.objects.all().delete()

    tick()

    assert not Alarm.objects.exists()


def test_a_proof_of_a_clock_that_was_ahead_counts_for_none(wanting: Provable) -> None:
    tick()
    ahead = clock.now() + timedelta(days=900)
    Proof.objects.update(state="passed", asked_at=ahead, ended_at=ahead)
    Run.objects.update(created_at=clock.now() - timedelta(days=12))
    assert tick() == 1
    assert Alarm.objects.get().kind == "proof_overdue"
