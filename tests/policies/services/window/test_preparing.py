"""All problems before anything is frozen: each gives one sentence, and before never runs."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.domain.errors import (
    AwsError,
    CredentialsError,
    NotPermittedError,
    RegionError,
    UnreachableError,
)
from policies.domain.runs.sequence import State
from policies.models import FirePermits, PolicyTarget, RunTarget, VolumeFire, WindowLease
from policies.services.window import permits
from policies.services.window.waiting import SHORTEST
from tests import factories
from tests.policies.services.backup import (
    Backup,
    is_one_sentence,
    outcomes,
    snapshots_of,
    story,
    target,
)


def exclude(*volumes: str) -> None:
    PolicyTarget.objects.update(exclude_volume_ids=list(volumes))


def _no_instance(backup: Backup) -> str:
    backup.cloud.terminate(backup.instance.instance_id)
    return f"The instance {backup.instance.instance_id} in us-east-1 does not exist"


def _no_volume(backup: Backup) -> str:
    PolicyTarget.objects.update(instance_id="", volume_id="vol-0dead")
    return "The volume vol-0dead in us-east-1 does not exist"


def _other_region(backup: Backup) -> str:
    PolicyTarget.objects.update(region="eu-west-1")
    return f"The instance {backup.instance.instance_id} in eu-west-1 does not exist"


def _foreign_exclusion(backup: Backup) -> str:
    exclude("vol-0dead")
    return "The excluded volume vol-0dead is not attached to"


def _boot_volume_excluded_by_id(backup: Backup) -> str:
    exclude(backup.instance.root_volume_id)
    return "is the boot volume of .* use exclude_boot_volume"


def _nothing_left(backup: Backup) -> str:
    PolicyTarget.objects.update(
        exclude_boot_volume=True, exclude_volume_ids=[backup.instance.volume_ids[1]]
    )
    return "is left to back up: exclude fewer of them"


REFUSALS = [
    _no_instance,
    _no_volume,
    _other_region,
    _foreign_exclusion,
    _boot_volume_excluded_by_id,
    _nothing_left,
]


@pytest.mark.parametrize("spoil", REFUSALS)
def test_the_only_target_that_cannot_be_backed_up_fails_the_run(
    backup: Backup, spoil: Callable[[Backup], str]
) -> None:
    backup.scripts()
    sentence = spoil(backup)

    run = backup.to_end()

    assert run.state == State.FAILED
    assert run.consistency == "none"
    assert is_one_sentence(run.reason)
    assert run.reason == target(run).reason
    assert re.search(sentence, run.reason)
    assert backup.marks == ["complete 0"]
    assert target(run).state == RunTarget.State.LEFT_OUT
    assert backup.calls("fire") == []
    assert outcomes(run) == {"complete": "succeeded"}


@pytest.mark.parametrize(
    "error",
    [
        CredentialsError("The keys of the account are wrong: enter them anew."),
        NotPermittedError("The account may not call CreateSnapshots: allow it in IAM."),
        RegionError("The region us-east-1 is off for this account: switch it on."),
        UnreachableError("AWS cannot be reached from here: check the network."),
    ],
)
@pytest.mark.parametrize("method", ["instances", "prove"])
def test_a_refusal_of_aws_is_the_reason_word_for_word(
    backup: Backup, error: AwsError, method: str
) -> None:
    backup.scripts()
    backup.cloud.fail_next(method, error)  # type: ignore[arg-type]

    run = backup.to_end()

    assert (run.state, run.reason) == (State.FAILED, str(error))
    assert backup.marks == ["complete 0"]
    assert backup.calls("fire") == []


def test_a_target_that_fails_is_left_out_and_the_rest_is_backed_up(backup: Backup) -> None:
    backup.scripts()
    gone = backup.add_instance()
    backup.cloud.terminate(gone.instance_id)

    run = backup.to_end()

    assert backup.marks == ["before", "after 1", "complete 0"]
    assert run.state == State.PARTIAL
    assert run.consistency == "none"  # the worst of its targets'
    states = dict(run.targets.values_list("instance_id", "state"))
    assert states == {backup.instance.instance_id: "usable", gone.instance_id: "left_out"}
    assert gone.instance_id in run.reason


def test_a_policy_without_targets_freezes_nothing(backup: Backup) -> None:
    backup.scripts()
    PolicyTarget.objects.all().delete()

    run = backup.to_end()

    assert run.state == State.FAILED
    assert backup.marks == ["complete 0"]


@pytest.mark.parametrize("attached", [True, False])
def test_a_volume_of_a_target_instance_counts_once(backup: Backup, attached: bool) -> None:
    volume_id = backup.instance.volume_ids[1] if attached else backup.cloud.add_volume().volume_id
    factories.PolicyTargetFactory.create(policy=backup.policy, instance_id="", volume_id=volume_id)

    run = backup.to_end()

    assert run.state == State.SUCCEEDED
    assert len(backup.calls("fire")) == (1 if attached else 2)
    assert sorted(s.volume_id for s in snapshots_of(run)) == sorted(
        {*backup.instance.volume_ids, volume_id}
    )


def test_exclusions_reach_aws_and_are_not_missed_in_its_answer(backup: Backup) -> None:
    PolicyTarget.objects.update(exclude_boot_volume=True)

    run = backup.to_end()

    assert run.state == State.SUCCEEDED
    assert [s.volume_id for s in snapshots_of(run)] == [backup.instance.volume_ids[1]]


def test_what_is_fired_bears_our_tags(backup: Backup, settings: Settings) -> None:
    run = backup.window()

    request = backup.calls("fire")[0].request
    assert request is not None
    assert request.tags == {
        "Name": f"alice/policy1 {backup.instance.instance_id}",
        "n2wbackup:server": run.server,
        "n2wbackup:run": str(run.pk),
        "n2wbackup:policy": "policy1",
        "n2wbackup:owner": "alice",
        "n2wbackup:consistency": "pending",
    }


def after(seconds: float) -> time_machine.travel:
    return time_machine.travel(clock.now() + timedelta(seconds=seconds), tick=True)


def test_the_permission_is_proved_at_most_hourly(backup: Backup) -> None:
    backup.to_end()
    assert len(backup.calls("prove")) == 1
    with after(3500):
        backup.to_end()
        assert len(backup.calls("prove")) == 1
    with after(3700):
        backup.to_end()
        assert len(backup.calls("prove")) == 2


def _other_keys(backup: Backup) -> None:
    backup.policy.account.access_key_id = "AKIAOTHER"
    backup.policy.account.save()


def _another_target(backup: Backup) -> None:
    backup.add_instance()


def _other_exclusions(backup: Backup) -> None:
    PolicyTarget.objects.update(exclude_boot_volume=True)


@pytest.mark.parametrize("change", [_other_keys, _another_target, _other_exclusions])
def test_the_permission_is_proved_anew_when_account_or_targets_changed(
    backup: Backup, change: Callable[[Backup], None]
) -> None:
    backup.to_end()
    change(backup)
    proved = len(backup.calls("prove"))

    with after(20):
        backup.to_end()

    assert len(backup.calls("prove")) > proved


def test_a_proof_that_failed_is_not_remembered(backup: Backup) -> None:
    backup.cloud.fail_next("prove", NotPermittedError("The account may not: allow it."))
    backup.to_end()
    backup.policy.refresh_from_db()
    assert backup.policy.proved_at is None

    assert backup.to_end().state == State.SUCCEEDED
    assert len(backup.calls("prove")) == 2


def test_a_run_waits_for_the_lease_of_another_owners_run(backup: Backup) -> None:
    backup.scripts()
    other = factories.RunFactory.create(state=State.FROZEN)
    volume = backup.instance.volume_ids[1]
    WindowLease.objects.create(resource=f"us-east-1:{volume}", run=other, taken_at=clock.now())

    run = backup.window()

    assert run.state == State.QUEUED
    assert run.not_before is not None
    assert timedelta() < run.not_before - clock.now() <= SHORTEST
    assert story(run)[-1] == f"waits for another owner's run, which has reserved {volume}"
    assert list(WindowLease.objects.values_list("run", flat=True)) == [other.pk]
    assert backup.marks == []
    WindowLease.objects.all().delete()
    with after(2):
        assert backup.window(run).state == State.WAITING
    assert not WindowLease.objects.exists()


def test_leases_are_held_by_nobody_else_while_frozen(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    fire = backup.cloud.fire

    def look(*arguments: object) -> object:
        seen.extend(WindowLease.objects.values_list("resource", flat=True))
        return fire(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(backup.cloud, "fire", look)
    backup.window()

    names = [backup.instance.instance_id, *backup.instance.volume_ids]
    assert sorted(seen) == sorted(f"us-east-1:{name}" for name in names)


def test_a_volume_is_fired_at_again_after_fifteen_seconds(backup: Backup) -> None:
    first = backup.to_end()

    second = backup.window()

    assert (first.state, second.state) == (State.SUCCEEDED, State.QUEUED)
    assert second.not_before is not None
    assert timedelta(seconds=10) < second.not_before - clock.now() <= permits.VOLUME_PAUSE
    assert not WindowLease.objects.filter(run=second).exists()
    with after(16):
        assert backup.to_end(second).state == State.SUCCEEDED


def test_a_run_waits_for_the_rate_of_its_account_and_region(backup: Backup) -> None:
    FirePermits.objects.create(
        bucket="123456789012:us-east-1", tokens=-200.0, filled_at=clock.now()
    )

    run = backup.window()

    assert run.state == State.QUEUED
    assert story(run)[-1] == "waits for the rate that AWS allows in us-east-1"
    assert not VolumeFire.objects.exists()
    with after(90):
        assert backup.window(run).state == State.WAITING


def test_a_dry_run_takes_a_permit_as_the_call_does(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(permits, "PER_SECOND", 1e-9)
    backup.to_end()
    assert round(FirePermits.objects.get().tokens) == permits.BURST - 2
    VolumeFire.objects.all().delete()
    backup.to_end()  # it was proven a moment ago
    assert round(FirePermits.objects.get().tokens) == permits.BURST - 3


def test_without_a_permit_nothing_is_tried_either(backup: Backup) -> None:
    FirePermits.objects.create(
        bucket="123456789012:us-east-1", tokens=-200.0, filled_at=clock.now()
    )
    backup.window()
    assert not {"prove", "fire"} & {call.method for call in backup.cloud.calls}


def test_permits_of_two_regions_are_taken_together_or_not_at_all(backup: Backup) -> None:
    elsewhere = backup.cloud.add_instance(region="eu-west-1")
    factories.PolicyTargetFactory.create(
        policy=backup.policy, instance_id=elsewhere.instance_id, region="eu-west-1"
    )
    FirePermits.objects.create(
        bucket="123456789012:eu-west-1", tokens=-200.0, filled_at=clock.now()
    )

    run = backup.window()

    assert run.state == State.QUEUED
    assert not VolumeFire.objects.exists()
    assert not FirePermits.objects.filter(bucket__endswith="us-east-1", tokens__lt=50).exists()


@pytest.mark.parametrize(("kind", "pending"), [("gp3", 5), ("st1", 1)])
def test_a_run_waits_where_a_volume_has_as_many_pending_snapshots_as_aws_allows(
    backup: Backup, kind: str, pending: int
) -> None:
    volume = backup.cloud.add_volume(volume_type=kind).volume_id
    PolicyTarget.objects.update(instance_id="", volume_id=volume)
    old = factories.RunTargetFactory.create()
    factories.RunSnapshotFactory.create_batch(pending, target=old, volume_id=volume)

    run = backup.window()

    assert run.state == State.QUEUED
    assert story(run)[-1].startswith(f"waits for pending snapshots of {volume}: {pending} ")
    old.snapshots.all()[0].delete()
    with after(31):
        assert backup.window(run).state == State.WAITING


def test_permits_refill_with_time_up_to_the_burst(db: None) -> None:
    now = clock.now()
    with time_machine.travel(now, tick=False):
        assert permits.take("a:r", 50, []) is None
        assert permits.take("a:r", 4, []) == now + timedelta(seconds=1)
    with time_machine.travel(now + timedelta(seconds=1), tick=False):
        assert permits.take("a:r", 4, []) is None
        assert permits.take("b:r", 50, []) is None
    with time_machine.travel(now + timedelta(hours=1), tick=False):
        assert (
            permits.take("a:r", 60, []) is None
        )  # more than the bucket has: allowed when it is full
        assert permits.take("a:r", 1, []) is not None
