"""Recoveries from copies: made in the copy's region with its account, offered by themselves, and kept meanwhile."""

from typing import Any

import pytest
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.domain.errors import RefusedError, UnreachableError
from policies.domain.recovery.states import Kind, State
from policies.models import Copy, CopyRule, Hold, Recovery, Run, RunTarget
from policies.ports import Snapshot
from policies.services.copies import asking as copying
from policies.services.copies import following, keeping, repeating
from policies.services.recovery import asking, planning
from policies.services.recovery.planning import Choices
from scripts_admin import permissions
from scripts_admin.domain.rights import Right
from tests import factories
from tests.policies.services.recovery.copied import THERE, VAULT, Copied, copy_all
from tests.policies.services.recovery.restored import REGION

pytestmark = pytest.mark.django_db


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> Copied:
    return copy_all(monkeypatch)


def planned(copied: Copied, kind: Kind = Kind.VOLUME, **wanted: Any) -> planning.Plan:
    wanted = {"volume_id": copied.restored.data} | wanted
    run = Run.objects.select_related("policy", "account").get(pk=copied.run.pk)
    return planning.plan(run, Choices(kind, **wanted))


def test_a_volume_is_made_where_the_chosen_copy_is_and_undone_there(copied: Copied) -> None:
    copied.copy(copied.vault)
    before = copied.restored.volumes()

    recovery = copied.restored.ask(Kind.VOLUME, volume_id=copied.restored.data, source=VAULT)
    copied.restored.work(recovery)

    assert (recovery.state, recovery.region, recovery.account) == (
        State.DONE, THERE, copied.vault,
    )  # fmt: skip
    assert recovery.source == VAULT
    (made,) = recovery.resources.all()
    assert made.from_snapshot == copied.of(copied.restored.data)
    (volume,) = copied.far.all_volumes(THERE)
    assert volume.volume_id == made.resource_id
    assert volume.answer["AvailabilityZone"] == f"{THERE}a"
    assert copied.restored.volumes() == before
    assert Hold.objects.get(run=copied.run).released_at is not None

    asking.undo(recovery, by="alice", confirmation=str(recovery.pk))
    copied.restored.work(recovery)
    assert recovery.state == State.UNDONE
    assert copied.far.all_volumes(THERE) == []


def test_the_snapshots_themselves_are_taken_while_aws_has_them(copied: Copied) -> None:
    copied.copy(copied.vault)

    plan = planned(copied)

    assert (plan.region, plan.choices.source, plan.copies) == (REGION, "", ())
    assert plan.steps[0].params["snapshot"] == copied.restored.snapshot_of(copied.restored.data)
    assert plan.notes == (
        f"There is a copy in vault, {THERE}, too: choose it if {REGION} is lost.",
    )


@pytest.mark.parametrize("is_known", [False, True])
def test_where_they_are_gone_the_copy_is_offered_with_a_sentence(
    copied: Copied, is_known: bool
) -> None:
    copied.copy(copied.vault)
    copied.lose()
    if is_known:
        copied.know()

    plan = planned(copied)

    assert (plan.region, plan.account, plan.choices.source) == (THERE, copied.vault, VAULT)
    (note,) = plan.notes
    gone = "is gone" if is_known else "does not exist any more"
    assert gone in note
    assert f"the copy in vault, {THERE} is used instead" in note
    copied.restored.work(copied.restored.ask(Kind.VOLUME, volume_id=copied.restored.data))
    assert len(copied.far.all_volumes(THERE)) == 1


def test_a_region_that_does_not_answer_counts_as_lost(copied: Copied) -> None:
    copied.copy(copied.vault)
    copied.here.fail_next("describe", UnreachableError(f"{REGION} does not answer."))

    plan = planned(copied)

    assert plan.region == THERE
    assert f"cannot be looked at in {REGION}" in plan.notes[0]


def test_a_copy_that_aws_has_not_is_refused_before_anything_is_made(copied: Copied) -> None:
    copied.copy(copied.vault)
    copied.far.delete_snapshot(copied.of(copied.restored.data))

    with pytest.raises(RefusedError, match=f"does not exist any more in {THERE}"):
        copied.restored.ask(Kind.VOLUME, volume_id=copied.restored.data, source=VAULT)
    with pytest.raises(RefusedError, match=f"no usable copy in mars: choose one of {VAULT}"):
        copied.restored.ask(Kind.VOLUME, volume_id=copied.restored.data, source="mars")

    assert not Recovery.objects.exists()
    assert not Hold.objects.exists()


def test_a_whole_instance_is_started_there_without_what_is_only_here(copied: Copied) -> None:
    copied.copy(copied.vault)
    target = RunTarget.objects.get(run=copied.run)
    assert target.description is not None
    said = target.description.document["instance"]
    said |= {
        "SubnetId": "subnet-1",
        "SecurityGroups": [{"GroupId": "sg-1"}],
        "KeyName": "alice",
        "IamInstanceProfile": {"Arn": "arn:aws:iam::1:instance-profile/shop"},
    }
    type(target.description).objects.filter(pk=target.description.pk).update(
        document=target.description.document
    )
    own = copied.restored.instance.instance_id

    plan = planned(copied, Kind.INSTANCE, volume_id="", source=VAULT)
    recovery = copied.restored.work(copied.restored.ask(Kind.INSTANCE, source=VAULT))

    launched = plan.steps[1].params["parameters"]
    assert not {"SubnetId", "SecurityGroupIds", "KeyName", "IamInstanceProfile"} & set(launched)
    assert "AvailabilityZone" not in launched["Placement"]
    for word in ("subnet", "security groups", "key pair", "role"):
        assert any(word in note and f"{THERE} of vault" in note for note in plan.notes)
    assert recovery.state == State.DONE, recovery.reason
    sources = set(recovery.resources.values_list("from_snapshot", flat=True)) - {""}
    assert sources == {copied.of(copied.restored.data), copied.of(copied.restored.root)}
    new = next(r for r in recovery.resources.all() if r.resource_id.startswith("i-")).resource_id
    assert new in copied.far.instances(THERE, [new])
    assert copied.restored.now()["InstanceId"] == own


def test_in_another_region_of_the_same_account_the_role_stays(copied: Copied) -> None:
    copied.copy()
    target = RunTarget.objects.get(run=copied.run)
    assert target.description is not None
    target.description.document["instance"] |= {"IamInstanceProfile": {"Arn": "arn:shop"}}
    target.description.save()

    plan = planned(copied, Kind.INSTANCE, volume_id="", source=THERE)

    assert (plan.region, plan.account) == (THERE, copied.run.account)
    assert plan.steps[1].params["parameters"]["IamInstanceProfile"] == {"Arn": "arn:shop"}


def test_a_copy_is_not_put_in_the_place_of_a_volume_that_is_elsewhere(copied: Copied) -> None:
    copied.copy(copied.vault)
    own = copied.restored.instance.instance_id

    with pytest.raises(RefusedError, match="cannot be put in its place from the copy in vault"):
        copied.restored.ask(
            Kind.VOLUME_IN_PLACE, own, volume_id=copied.restored.data, source=VAULT, stops=True
        )

    assert not Recovery.objects.exists()
    assert copied.restored.state() == "running"


def test_a_copy_that_a_recovery_uses_does_not_go_by_its_rule(
    copied: Copied, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.N2W_DELETE_AFTER_HOURS = 0
    monkeypatch.setattr(keeping, "go_on", lambda: 0)  # nothing is deleted in AWS here
    copied.copy(copied.vault)
    _let_go(copied)
    recovery = copied.restored.ask(Kind.VOLUME, volume_id=copied.restored.data, source=VAULT)

    keeping.tick()
    assert set(Copy.objects.filter(run=copied.run).values_list("state", flat=True)) == {"completed"}

    copied.restored.work(recovery)
    keeping.tick()
    assert set(Copy.objects.filter(run=copied.run).values_list("state", flat=True)) == {"deleting"}


def _let_go(copied: Copied) -> None:
    """Have the rule keep one restore point, and make a newer one with copies."""
    policy = copied.run.policy
    assert policy is not None
    CopyRule.objects.update(keep_last=1)
    rule = CopyRule.objects.get()
    known = RunTarget.objects.get(run=copied.run)
    newer = factories.RunFactory.create(
        policy=policy,
        state="succeeded",
        ended_at=clock.now(),
        consistency="application",
        restore_point=True,
    )
    target = factories.RunTargetFactory.create(
        run=newer,
        instance_id=known.instance_id,
        consistency="application",
        expected_volume_ids=list(known.expected_volume_ids),
    )
    for volume_id in target.expected_volume_ids:
        source = factories.RunSnapshotFactory.create(
            target=target, volume_id=volume_id, state="completed"
        )
        made = Snapshot(f"snap-new{source.pk:09x}", volume_id, "completed", 100)
        copied.far.keep(THERE, made)
        Copy.objects.create(
            run=newer,
            source=source,
            rule=rule,
            account=copied.vault,
            region=THERE,
            state="completed",
            snapshot_id=made.snapshot_id,
            created_at=newer.created_at,
        )
    Run.objects.filter(pk=copied.run.pk).update(consistency="application")
    RunTarget.objects.filter(run=copied.run).update(consistency="application")


def test_a_copy_that_is_being_deleted_is_used_by_nobody(
    copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied.copy(copied.vault)
    plan = planned(copied, source=VAULT)
    Copy.objects.filter(run=copied.run).update(state="deleting")

    with pytest.raises(RefusedError, match="no usable copy"):
        copied.restored.ask(Kind.VOLUME, volume_id=copied.restored.data, source=VAULT)
    monkeypatch.setattr(planning, "plan", lambda *_, **__: plan)  # it began to go meanwhile
    with pytest.raises(RefusedError, match="being deleted"):
        copied.restored.ask(Kind.VOLUME, volume_id=copied.restored.data, source=VAULT)

    assert not Recovery.objects.exists()
    assert not Hold.objects.exists()


def test_who_may_restore_may_use_the_copies_and_reaches_nothing_else_there(copied: Copied) -> None:
    copied.copy(copied.vault)
    person, policy = factories.charlie(), copied.run.policy
    assert policy is not None
    permissions.grant(person, policy, [Right.RESTORE])
    stranger = copied.far.add_instance(THERE)
    wanted = Choices(Kind.VOLUME, volume_id=copied.restored.data, source=VAULT)
    attached = Choices(
        Kind.VOLUME,
        volume_id=copied.restored.data,
        source=VAULT,
        attach_to=stranger.instance_id,
        device="/dev/sdh",
    )

    with pytest.raises(RefusedError, match="does not belong to run"):
        asking.ask(
            copied.run, attached, by="charlie", person=person, confirmation=stranger.instance_id
        )
    assert not Recovery.objects.exists()
    made = asking.ask(copied.run, wanted, by="charlie", person=person)

    assert (made.account, made.region) == (copied.vault, THERE)


def test_an_account_of_somebody_else_is_no_place_to_restore_from(copied: Copied) -> None:
    copied.copy(copied.vault)
    copied.vault.owner = factories.charlie()
    copied.vault.save()

    with pytest.raises(RefusedError, match="no usable copy"):
        copied.restored.ask(Kind.VOLUME, volume_id=copied.restored.data, source=VAULT)

    assert not Recovery.objects.exists()


def test_an_account_that_changes_hands_is_used_no_more(copied: Copied) -> None:
    copied.copy(copied.vault)
    recovery = copied.restored.ask(Kind.VOLUME, volume_id=copied.restored.data, source=VAULT)
    copied.vault.owner = factories.charlie()
    copied.vault.save()

    copied.restored.work(recovery)

    assert recovery.state == State.FAILED
    assert recovery.reason == (
        "The account vault no longer belongs to alice, so nothing more is done with it."
    )
    assert copied.far.all_volumes(THERE) == []
    assert Hold.objects.get(run=copied.run).released_at is not None


def test_what_was_made_in_an_account_that_changes_hands_stays_and_is_named(
    copied: Copied,
) -> None:
    copied.copy(copied.vault)
    recovery = copied.restored.ask(Kind.VOLUME, volume_id=copied.restored.data, source=VAULT)
    copied.restored.work(recovery)
    (made,) = copied.far.all_volumes(THERE)
    asking.undo(recovery, by="alice", confirmation=str(recovery.pk))
    copied.vault.owner = factories.charlie()
    copied.vault.save()

    copied.restored.work(recovery)

    assert recovery.state == State.FAILED
    assert recovery.reason.endswith(f"What it made stays there: {made.volume_id}.")
    assert [each.volume_id for each in copied.far.all_volumes(THERE)] == [made.volume_id]


def test_another_account_gets_the_copy_that_it_has(copied: Copied) -> None:
    copied.copy(copied.vault)

    plan = planned(copied, account="vault")

    assert (plan.account, plan.region, plan.choices.source) == (copied.vault, THERE, VAULT)
    assert planned(copied, account="lab").choices.source == ""


@pytest.mark.parametrize("kind", [Kind.VOLUME, Kind.INSTANCE])
def test_another_account_that_cannot_read_the_snapshot_is_refused_before_anything_is_made(
    copied: Copied, kind: Kind
) -> None:
    wanted = {"volume_id": copied.restored.data} if kind == Kind.VOLUME else {}

    with pytest.raises(RefusedError) as refused:
        copied.restored.ask(kind, account="vault", **wanted)

    assert "cannot read it" in str(refused.value)
    assert f"copies {copied.run.pk} --to vault/{REGION}" in str(refused.value)
    assert "aws/ebs" not in str(refused.value)
    assert not Recovery.objects.exists()
    assert not Hold.objects.exists()
    assert copied.own.asked == []  # nothing was shared


def test_the_refusal_says_what_the_key_must_allow(copied: Copied) -> None:
    target = RunTarget.objects.get(run=copied.run)
    assert target.description is not None
    said = target.description.document["volumes"][copied.restored.data]
    said |= {"Encrypted": True, "KmsKeyId": "arn:aws:kms:us-east-1:1:key/k"}
    target.description.save()

    with pytest.raises(RefusedError, match=r"key/k: its policy must .* default key aws/ebs"):
        copied.restored.ask(Kind.VOLUME, volume_id=copied.restored.data, account="vault")


def test_a_second_entry_of_the_same_aws_account_reads_the_snapshot(copied: Copied) -> None:
    factories.AccountFactory.create(owner=factories.alice(), name="lab2")

    recovery = copied.restored.ask(Kind.VOLUME, volume_id=copied.restored.data, account="lab2")

    assert copied.restored.work(recovery).state == State.DONE


def test_what_the_refusal_says_to_do_works(copied: Copied) -> None:
    policy, now = copied.run.policy, clock.now()
    assert policy is not None
    CopyRule.objects.create(
        policy=policy, account=copied.vault, region=REGION, created_at=now, seen_until=now
    )
    RunTarget.objects.filter(run=copied.run).update(state="usable")

    assert repeating.places(copied.run) == [f"vault/{REGION}"]
    assert repeating.copy(copied.run, f"vault/{REGION}") == 2
    copying.tick()
    copied.far.advance()
    following.tick()
    recovery = copied.restored.ask(Kind.VOLUME, volume_id=copied.restored.data, account="vault")

    assert copied.restored.work(recovery).state == State.DONE
    assert (recovery.account, recovery.region) == (copied.vault, REGION)
    assert {word for word, _ in copied.own.asked} >= {"share", "unshare"}
    assert not any(copied.world.shared.values())
    with pytest.raises(RefusedError, match="never copied"):
        repeating.copy(copied.run, f"vault/{REGION}")
    with pytest.raises(RefusedError, match="no place mars"):
        repeating.copy(copied.run, "mars")
