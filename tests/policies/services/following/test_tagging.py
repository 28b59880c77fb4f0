"""Tags show the consistency of snapshots, and are written until AWS accepts them."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import pytest
import time_machine

from n2wbackup.celery import app
from n2wbackup.lib import clock
from policies import tasks
from policies.domain.errors import (
    AwsError,
    CredentialsError,
    NotFoundError,
    NotPermittedError,
    ThrottledError,
)
from policies.domain.runs.sequence import Event, State
from policies.models import Account, Run
from policies.selectors.worth import Worth
from policies.services import runs
from policies.services.following import tagging
from tests import factories
from tests.policies.services.backup import Backup, snapshots_of


def tags(backup: Backup, run: Run) -> list[dict[str, str]]:
    found = backup.cloud.of_run("us-east-1", run.server, str(run.pk))
    return [
        {k.removeprefix("n2wbackup:"): v for k, v in s.tags.items() if k != "Name"} for s in found
    ]


def ours(run: Run) -> dict[str, str]:
    return {"server": run.server, "run": str(run.pk), "policy": "policy1", "owner": "alice"}


def test_after_the_thaw_the_tags_say_what_happened(backup: Backup) -> None:
    backup.scripts()
    run = backup.window()
    assert run.tags_due or Run.objects.get(pk=run.pk).tags_due

    tagging.tag_due()

    told = {"consistency": "application", "before": "succeeded", "after": "succeeded"}
    assert tags(backup, run) == [ours(run) | told] * 2
    assert not Run.objects.get(pk=run.pk).tags_due


def test_at_the_end_they_say_how_it_ended(backup: Backup) -> None:
    backup.scripts(complete="exit 1")
    run = backup.to_end()

    tagging.tag_due()

    for each in tags(backup, run):
        assert (each["complete"], each["state"]) == ("failed", "partial")


@pytest.mark.django_db(transaction=True)
def test_completes_own_task_tells_the_end_and_sends_no_other_hint(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(app, "send_task", lambda name, **_: sent.append(name))
    backup.scripts()
    run = backup.window()
    backup.cloud.advance()
    backup.settle(run)
    sent.clear()

    tasks.complete(str(run.pk))

    assert {each["state"] for each in tags(backup, run)} == {"succeeded"}
    assert not Run.objects.get(pk=run.pk).tags_due
    assert sent == []


def test_a_failed_before_is_a_crash_consistent_tag(backup: Backup) -> None:
    backup.scripts(before="exit 1")
    run = backup.window()

    tagging.tag_due()

    assert {each["consistency"] for each in tags(backup, run)} == {"crash"}
    assert {each["before"] for each in tags(backup, run)} == {"failed"}


def test_nothing_is_tagged_within_the_window(backup: Backup) -> None:
    backup.scripts()
    backup.window()

    assert backup.calls("tag") == []


def test_tags_that_aws_refused_are_tried_again(backup: Backup) -> None:
    run = backup.window()
    backup.cloud.fail_next("tag", ThrottledError("The rate was exceeded."))

    tagging.tag_due()
    assert Run.objects.get(pk=run.pk).tags_due
    assert {each["consistency"] for each in tags(backup, run)} == {"pending"}
    tagging.tag_due()

    assert not Run.objects.get(pk=run.pk).tags_due
    assert {each["consistency"] for each in tags(backup, run)} == {"crash"}


def test_a_run_that_moved_on_meanwhile_is_tagged_again(backup: Backup) -> None:
    run = backup.window()
    tag = backup.cloud.tag

    def move_on_then_tag(*arguments: object) -> None:
        tag(*arguments)  # type: ignore[arg-type]
        backup.cloud.tag = tag  # type: ignore[method-assign]
        backup.cloud.advance()
        backup.complete(backup.settle(run))

    backup.cloud.tag = move_on_then_tag  # type: ignore[method-assign, assignment]
    tagging.tag(run.pk)

    assert Run.objects.get(pk=run.pk).tags_due
    tagging.tag(run.pk)
    assert {each["state"] for each in tags(backup, run)} == {"succeeded"}


def test_a_snapshot_that_somebody_deleted_keeps_no_other_from_its_tags(backup: Backup) -> None:
    elsewhere = backup.cloud.add_instance(region="eu-west-1", volumes=1)
    factories.PolicyTargetFactory.create(
        policy=backup.policy, instance_id=elsewhere.instance_id, region="eu-west-1"
    )
    run = backup.to_end()
    backup.cloud.delete_snapshot(snapshots_of(run)[0].snapshot_id)

    tagging.tag_due()

    assert not Run.objects.get(pk=run.pk).tags_due
    far = backup.cloud.of_run("eu-west-1", run.server, str(run.pk))
    assert [each.tags["n2wbackup:state"] for each in far] == ["succeeded"]
    assert [each["state"] for each in tags(backup, run)] == ["succeeded"]


def test_a_deleted_snapshot_does_not_keep_its_tags_due_for_ever(backup: Backup) -> None:
    run = backup.window()
    backup.cloud.fail_next("tag", NotFoundError("The snapshot does not exist."))
    for each in snapshots_of(run):
        backup.cloud.delete_snapshot(each.snapshot_id)

    tagging.tag_due()

    assert not Run.objects.get(pk=run.pk).tags_due


def test_a_run_without_snapshots_has_nothing_to_tag(backup: Backup) -> None:
    run = factories.RunFactory.create(policy=backup.policy, state=State.COMPLETING)
    runs.apply(run, Event.COMPLETED, "ended", end=State.FAILED)

    with time_machine.travel(clock.now() + timedelta(minutes=1)):
        tagging.tag_due()

    assert backup.calls("tag") == []
    assert not Run.objects.get(pk=run.pk).tags_due


def test_a_run_whose_tags_cannot_be_written_keeps_no_other_waiting(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = factories.RunFactory.create(
        policy=factories.PolicyFactory.create(name="earlier"),
        account=backup.policy.account,
        tags_due=True,
    )
    backup.scripts()
    run = backup.window()
    groups = tagging._groups

    def fail(one: Run, known: Worth) -> object:
        if one == broken:
            raise ValueError("broken")
        return groups(one, known)

    monkeypatch.setattr(tagging, "_groups", fail)

    tagging.tag_due()

    assert [each["before"] for each in tags(backup, run)] == ["succeeded"] * 2
    assert not Run.objects.filter(tags_due=True).exists()
    assert "could not be written (ValueError)" in broken.events.get().text


def _waiting_for_tags(account: Account, count: int) -> None:
    for number in range(count):
        run = factories.RunFactory.create(
            pk=UUID(int=number + 1),
            account=account,
            state=State.FAILED,
            ended_at=clock.now(),
            tags_due=True,
        )
        factories.RunSnapshotFactory.create(target=factories.RunTargetFactory.create(run=run))


def test_an_account_that_takes_no_tags_costs_one_call_a_turn_and_delays_nobody(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call may wait for a timeout, and the runs of all owners are tagged one after the other."""
    run = backup.window()
    denied = factories.AccountFactory.create(owner=backup.policy.owner, name="denied")
    _waiting_for_tags(denied, 5)
    refused = _refusing(backup, monkeypatch)

    tagging.tag_due()

    assert len(refused) == 1
    assert not Run.objects.get(pk=run.pk).tags_due
    assert Run.objects.filter(account=denied, tags_due=True).count() == 5


def test_a_run_whose_tags_are_refused_keeps_no_other_of_its_account_from_its_tags(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = backup.window()
    assert run.account is not None
    _waiting_for_tags(run.account, 3)
    _refusing(backup, monkeypatch, NotPermittedError)

    for _ in range(200):  # by chance: each turn begins with another run
        tagging.tag_due()

    assert not Run.objects.get(pk=run.pk).tags_due


def _refusing(
    backup: Backup,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[AwsError] = CredentialsError,
) -> list[str]:
    """Let AWS refuse the tags of the factory's snapshots; return which were refused."""
    tag, refused = backup.cloud.tag, list[str]()

    def refuse(region: str, ids: Sequence[str], tags: Mapping[str, str]) -> None:
        if any(each.startswith("snap-f") for each in ids):
            refused.append(ids[0])
            raise kind("AWS does not take the tags.")
        tag(region, ids, tags)

    monkeypatch.setattr(backup.cloud, "tag", refuse)
    return refused
