"""What the Recycle Bin has comes back, and stays."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from policies.adapters.memory import MemoryCloud
from policies.adapters.memory_removing import MemoryRemoving
from policies.domain.errors import RefusedError, UnreachableError
from policies.models import Policy, Removal, Run, RunSnapshot
from policies.services.retention import cleaning, holds, planning, taking_back
from scripts_admin.models import AuditEntry
from tests.factories import PolicyFactory, alice
from tests.policies.services.retention.rows import in_cloud, nightly, snapshot_of

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


@pytest.fixture
def old(cloud: MemoryCloud, removing: MemoryRemoving) -> Run:
    """Give a restore point that was deleted and is in the Recycle Bin."""
    policy = PolicyFactory.create(owner=alice(), name="policy1", keep_last=2)
    made = nightly(policy, 3)
    in_cloud(cloud, made)
    removing.bin_keeps = timedelta(days=7)
    cleaning.prune(policy, by="alice")
    return Run.objects.get(pk=made[2].pk)


def test_it_comes_back_and_no_rule_lets_it_go_again(old: Run, cloud: MemoryCloud) -> None:
    assert taking_back.until(old) is not None
    taking_back.take_back(old, by="bob")

    old.refresh_from_db()
    snapshot = snapshot_of(old)
    assert snapshot.snapshot_id in cloud.snapshot_ids
    assert (snapshot.state, snapshot.bin_until) == (RunSnapshot.State.COMPLETED, None)
    assert old.restore_point
    verdict = planning.of_runs([old])[old.pk]
    assert verdict.reasons == ("held by bob (freezer): taken back from the Recycle Bin",)
    assert AuditEntry.objects.filter(action="took back").count() == 1
    assert taking_back.until(old) is None

    assert cleaning.prune(Policy.objects.get(), by="alice") == 0
    holds.release(old, by="bob")
    assert cleaning.prune(Policy.objects.get(), by="alice") == 1
    assert snapshot.snapshot_id not in cloud.snapshot_ids


def test_what_is_not_in_the_bin_cannot_be_taken_back(
    old: Run, removing: MemoryRemoving, cloud: MemoryCloud
) -> None:
    removing.take_back("us-east-1", snapshot_of(old).snapshot_id)  # somebody did in the console
    cloud.delete_snapshot(snapshot_of(old).snapshot_id)  # and deleted it for good
    with pytest.raises(RefusedError, match="no longer in the Recycle Bin"):
        taking_back.take_back(old, by="bob")
    assert snapshot_of(old).state == RunSnapshot.State.DELETED
    assert Removal.objects.get().ended_at is not None

    RunSnapshot.objects.update(bin_until=None)
    with pytest.raises(CommandError, match="The Recycle Bin has nothing of run"):
        call_command("take_back", str(old.pk))


def test_a_lost_answer_can_be_repeated(
    old: Run, removing: MemoryRemoving, cloud: MemoryCloud
) -> None:
    removing.fail_next("take_back", UnreachableError("Lost."), done=True)
    with pytest.raises(UnreachableError):
        taking_back.take_back(old, by="bob")
    taking_back.take_back(old, by="bob")
    assert snapshot_of(old).state == RunSnapshot.State.COMPLETED
    assert snapshot_of(old).snapshot_id in cloud.snapshot_ids


def test_the_command_says_what_goes_and_deletes_it(
    cloud: MemoryCloud, removing: MemoryRemoving, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = PolicyFactory.create(owner=alice(), name="policy1", keep_last=2)
    made = nightly(policy, 3)
    in_cloud(cloud, made)
    call_command("prune", "alice/policy1", "--dry-run")
    assert len(cloud.snapshot_ids) == 3

    call_command("prune", "alice/policy1")

    assert len(cloud.snapshot_ids) == 2
    told = capsys.readouterr().out
    assert f"{made[2].pk}" in told
    assert "alice/policy1: deleted 1 restore point." in told
    with pytest.raises(CommandError, match="Name the policy"):
        call_command("prune")
