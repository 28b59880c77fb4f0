"""Restore points that the rules let go are announced, then deleted; nothing else is."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.adapters.limits import SERVER_TAG
from policies.adapters.memory import MemoryCloud
from policies.adapters.memory_removing import MemoryRemoving
from policies.domain.errors import (
    AwsError,
    NotPermittedError,
    RefusedError,
    RejectedError,
    ThrottledError,
    UnreachableError,
)
from policies.domain.retention.points import HoldKind
from policies.domain.runs.sequence import State
from policies.models import Hold, Policy, Removal, Run, RunSnapshot, Turn
from policies.services.retention import cleaning, deleting, holds, planning
from tests.factories import PolicyFactory, RunFactory, alice
from tests.policies.services.retention.rows import in_cloud, nightly, snapshot_of

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
HOUR = timedelta(hours=1)
REGION = "us-east-1"


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Let time pass."""
    passed = [timedelta()]
    monkeypatch.setattr(clock, "now", lambda: datetime.now(UTC) + passed[0])

    def let(span: timedelta) -> None:
        passed[0] += span

    return let


@pytest.fixture
def policy() -> Policy:
    return PolicyFactory.create(owner=alice(), name="policy1", keep_last=2)


@pytest.fixture
def made(policy: Policy, cloud: MemoryCloud, removing: MemoryRemoving) -> list[Run]:
    """Give five restore points, newest first; two are kept."""
    found = nightly(policy, 5)
    in_cloud(cloud, found)
    return found


def ids(runs: list[Run]) -> set[str]:
    return {snapshot_of(run).snapshot_id for run in runs}


def deleted(removing: MemoryRemoving) -> list[str]:
    return [subject for deed, subject in removing.calls if deed == "delete"]


def test_what_goes_is_announced_and_deleted_a_day_later(
    made: list[Run], cloud: MemoryCloud, later: Callable[[timedelta], None]
) -> None:
    assert cleaning.tick() == 0
    assert set(Removal.objects.values_list("run", flat=True)) == {run.pk for run in made[2:]}
    removal = Removal.objects.first()
    assert removal is not None
    assert removal.goes_after - removal.announced_at == 24 * HOUR
    later(23 * HOUR)
    assert cleaning.tick() == 0
    assert cloud.snapshot_ids == ids(made)

    later(2 * HOUR)
    assert cleaning.tick() == 3
    assert cloud.snapshot_ids == ids(made[:2])
    assert {snapshot_of(run).state for run in made[2:]} == {RunSnapshot.State.DELETED}
    assert {snapshot_of(run).state for run in made[:2]} == {RunSnapshot.State.COMPLETED}
    assert set(Run.objects.filter(restore_point=True)) == set(made[:2])
    assert not Removal.objects.filter(ended_at=None).exists()
    (event,) = made[4].events.all()
    assert event.text == "deleted its snapshots: older than everything that the rules keep"


def test_a_snapshot_bears_a_mark_before_it_goes(
    made: list[Run], cloud: MemoryCloud, removing: MemoryRemoving
) -> None:
    removing.fail_next("delete", UnreachableError("Not now."))
    policy = made[0].policy
    assert policy is not None
    cleaning.prune(policy, by="alice")

    (left,) = cloud.snapshot_ids - ids(made[:2])
    tags = cloud.describe(REGION, [left])[left].tags
    assert tags[deleting.DELETING_TAG].startswith("20")


def test_one_that_somebody_deletes_meanwhile_is_entered_at_once(
    made: list[Run], cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag, policy = cloud.tag, made[0].policy
    assert policy is not None

    def after_somebody(region: str, snapshot_ids: Sequence[str], tags: Mapping[str, str]) -> None:
        for each in set(snapshot_ids) & {snapshot_of(made[4]).snapshot_id} & cloud.snapshot_ids:
            cloud.delete_snapshot(each)
        tag(region, snapshot_ids, tags)

    monkeypatch.setattr(cloud, "tag", after_somebody)
    cleaning.prune(policy, by="alice")
    assert {snapshot_of(run).state for run in made[2:]} == {RunSnapshot.State.DELETED}
    assert cloud.snapshot_ids == ids(made[:2])


def test_an_edit_withdraws_what_was_announced(
    made: list[Run], policy: Policy, cloud: MemoryCloud, later: Callable[[timedelta], None]
) -> None:
    cleaning.tick()
    Policy.objects.update(keep_last=4)
    later(25 * HOUR)
    cleaning.tick()
    assert cloud.snapshot_ids == ids(made[:4])


def test_what_somebody_holds_in_the_meantime_stays(
    made: list[Run], cloud: MemoryCloud, later: Callable[[timedelta], None]
) -> None:
    cleaning.tick()
    holds.take(made[3].pk, HoldKind.RECOVERY, key="r", reason="being restored", until=None)
    later(25 * HOUR)
    cleaning.tick()
    assert cloud.snapshot_ids == ids([*made[:2], made[3]])
    assert not Removal.objects.filter(run=made[3]).exists()


@pytest.mark.parametrize("columns", [{"enabled": False}, {"may_be_frozen_since": clock.now()}])
def test_a_policy_in_no_state_for_it_keeps_all(
    made: list[Run],
    cloud: MemoryCloud,
    later: Callable[[timedelta], None],
    columns: dict[str, object],
) -> None:
    cleaning.tick()
    Policy.objects.update(**columns)
    later(25 * HOUR)
    assert cleaning.tick() == 0
    assert cloud.snapshot_ids == ids(made)


def test_nothing_goes_while_a_run_is_under_way(
    made: list[Run], policy: Policy, cloud: MemoryCloud, later: Callable[[timedelta], None]
) -> None:
    cleaning.tick()
    RunFactory.create(policy=policy, state=State.FROZEN)
    later(25 * HOUR)
    cleaning.tick()
    assert cloud.snapshot_ids == ids(made)


def test_one_switch_keeps_all(
    made: list[Run], policy: Policy, cloud: MemoryCloud, settings: Settings
) -> None:
    settings.N2W_KEEP_ALL_SNAPSHOTS = True
    assert cleaning.tick() == 0
    with pytest.raises(RefusedError, match="N2W_KEEP_ALL_SNAPSHOTS"):
        cleaning.prune(policy, by="alice")
    assert cloud.snapshot_ids == ids(made)
    assert not Removal.objects.exists()


def test_a_person_prunes_without_a_notice(
    made: list[Run], policy: Policy, cloud: MemoryCloud
) -> None:
    assert cleaning.prune(policy, by="alice") == 3
    assert cloud.snapshot_ids == ids(made[:2])
    assert set(Removal.objects.values_list("by", flat=True)) == {"alice"}
    assert cleaning.prune(policy, by="alice") == 0


@pytest.mark.parametrize(
    "tags", [{SERVER_TAG: "4d1f2d4e-0000-4000-8000-000000000000"}, {SERVER_TAG: ""}]
)
def test_what_does_not_bear_our_tag_in_aws_stays(
    made: list[Run],
    policy: Policy,
    cloud: MemoryCloud,
    removing: MemoryRemoving,
    tags: dict[str, str],
) -> None:
    cloud.tag(REGION, [snapshot_of(made[3]).snapshot_id], tags)
    cleaning.prune(policy, by="alice")

    assert cloud.snapshot_ids == ids([*made[:2], made[3]])
    assert snapshot_of(made[3]).snapshot_id not in deleted(removing)
    made[3].refresh_from_db()
    assert made[3].restore_point
    (reason,) = planning.of_runs([made[3]])[made[3].pk].reasons
    assert "does not bear the tags of this server and this run" in reason


def test_an_ami_that_is_not_ours_keeps_its_snapshots_and_says_so(
    made: list[Run], policy: Policy, cloud: MemoryCloud, removing: MemoryRemoving
) -> None:
    image_id = removing.add_image(REGION, [snapshot_of(made[3]).snapshot_id])
    cleaning.prune(policy, by="alice")

    assert cloud.snapshot_ids == ids([*made[:2], made[3]])
    assert list(removing.images) == [image_id]
    hold = Hold.objects.get()
    assert (hold.kind, hold.run_id) == (HoldKind.AWS, made[3].pk)
    assert f"the AMI {image_id} needs" in hold.reason
    assert hold.until is not None  # it is looked at again


def test_an_ami_of_ours_is_deregistered(
    made: list[Run], policy: Policy, cloud: MemoryCloud, removing: MemoryRemoving
) -> None:
    tags = cloud.describe(REGION, list(cloud.snapshot_ids))[snapshot_of(made[3]).snapshot_id].tags
    removing.add_image(REGION, [snapshot_of(made[3]).snapshot_id], tags)
    cleaning.prune(policy, by="alice")
    assert cloud.snapshot_ids == ids(made[:2])
    assert removing.images == {}


def test_a_lock_that_somebody_else_made_keeps_it(
    made: list[Run], policy: Policy, cloud: MemoryCloud, removing: MemoryRemoving
) -> None:
    until = clock.now() + timedelta(days=9)
    removing.lock(REGION, snapshot_of(made[4]).snapshot_id, "governance", until)
    cleaning.prune(policy, by="alice")
    assert cloud.snapshot_ids == ids([*made[:2], made[4]])
    assert "locked" in Hold.objects.get().reason


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("error", [ThrottledError("Slow."), UnreachableError("Lost.")])
def test_a_call_without_an_answer_goes_on_from_its_intent(
    made: list[Run],
    policy: Policy,
    cloud: MemoryCloud,
    removing: MemoryRemoving,
    later: Callable[[timedelta], None],
    error: AwsError,
    *,
    done: bool,
) -> None:
    removing.fail_next("delete", error, done=done)
    cleaning.prune(policy, by="alice")
    (stuck,) = Removal.objects.filter(ended_at=None, begun_at__isnull=False)[:1]
    assert stuck.problem == str(error)
    assert snapshot_of(stuck.run).state == RunSnapshot.State.DELETING
    assert not Run.objects.get(pk=stuck.run_id).restore_point

    later(3 * 60 * timedelta(seconds=1))
    cleaning.tick()

    assert cloud.snapshot_ids == ids(made[:2])
    assert not Removal.objects.filter(ended_at=None).exists()
    assert len(deleted(removing)) <= 4


@pytest.mark.parametrize(
    "error", [NotPermittedError("You may not delete."), RejectedError("Something else.")]
)
def test_a_refusal_keeps_it_with_aws_words(
    made: list[Run],
    policy: Policy,
    cloud: MemoryCloud,
    removing: MemoryRemoving,
    later: Callable[[timedelta], None],
    error: AwsError,
) -> None:
    removing.fail_next("delete", error)
    cleaning.prune(policy, by="alice")
    (hold,) = Hold.objects.all()
    assert hold.reason == str(error)
    assert hold.run.restore_point
    assert snapshot_of(hold.run).state == RunSnapshot.State.COMPLETED

    later(7 * HOUR)
    cleaning.prune(policy, by="alice")
    assert cloud.snapshot_ids == ids(made[:2])


def test_nothing_goes_where_the_newest_is_no_longer_in_aws(
    made: list[Run], policy: Policy, cloud: MemoryCloud
) -> None:
    """Somebody deleted the two that the rules keep: of the others, the newest two stay now."""
    for run in made[:2]:
        cloud.delete_snapshot(snapshot_of(run).snapshot_id)
    cleaning.prune(policy, by="alice")
    cleaning.prune(policy, by="alice")
    assert ids(made[2:3]) <= cloud.snapshot_ids
    assert snapshot_of(made[0]).state == RunSnapshot.State.GONE


def test_nothing_goes_while_aws_does_not_say_that_the_newest_exists(
    made: list[Run], policy: Policy, cloud: MemoryCloud
) -> None:
    cloud.fail_next("describe", UnreachableError("Away."))
    assert cleaning.prune(policy, by="alice") == 0
    assert cloud.snapshot_ids == ids(made)
    assert not Removal.objects.filter(begun_at__isnull=False).exists()
    problem = Removal.objects.values_list("problem", flat=True)[0]
    assert problem == "The newest restore points were not found in AWS: Away."


def test_an_intent_is_taken_back_when_its_point_became_the_last_one(
    made: list[Run],
    policy: Policy,
    cloud: MemoryCloud,
    removing: MemoryRemoving,
    later: Callable[[timedelta], None],
) -> None:
    """The server was away after the intent, and all newer ones were deleted meanwhile."""
    removing.fail_next("delete", UnreachableError("Away."))
    cleaning.prune(policy, by="alice")
    stuck = Removal.objects.get(ended_at=None).run
    for run in made:
        if run != stuck and snapshot_of(run).snapshot_id in cloud.snapshot_ids:
            cloud.delete_snapshot(snapshot_of(run).snapshot_id)
    for _ in range(4):
        later(3 * 60 * timedelta(seconds=1))
        cleaning.tick()

    assert cloud.snapshot_ids == ids([stuck])
    assert Run.objects.get(pk=stuck.pk).restore_point
    assert snapshot_of(stuck).state == RunSnapshot.State.COMPLETED


def test_a_turn_sends_only_so_many_calls(
    made: list[Run],
    policy: Policy,
    cloud: MemoryCloud,
    monkeypatch: pytest.MonkeyPatch,
    later: Callable[[timedelta], None],
) -> None:
    monkeypatch.setattr(deleting, "CALLS", 2)
    cleaning.tick()
    later(25 * HOUR)
    cleaning.tick()
    assert len(cloud.snapshot_ids) == 3
    cleaning.tick()
    assert cloud.snapshot_ids == ids(made[:2])


def test_two_processes_do_not_clean_one_policy(made: list[Run], policy: Policy) -> None:
    Turn.objects.create(name=f"clean-{policy.pk}", taken_at=clock.now())
    with pytest.raises(RefusedError, match="already"):
        cleaning.prune(policy, by="alice")
    assert not Removal.objects.filter(begun_at__isnull=False).exists()


def test_what_the_recycle_bin_has_says_until_when(
    made: list[Run], policy: Policy, removing: MemoryRemoving
) -> None:
    removing.bin_keeps = timedelta(days=7)
    cleaning.prune(policy, by="alice")
    until = snapshot_of(made[4]).bin_until
    assert until is not None
    assert timedelta(days=6) < until - clock.now() <= timedelta(days=7)


def test_a_run_without_an_account_stays(
    made: list[Run], policy: Policy, cloud: MemoryCloud
) -> None:
    Run.objects.filter(pk=made[4].pk).update(account=None)
    cleaning.prune(policy, by="alice")
    assert cloud.snapshot_ids == ids([*made[:2], made[4]])
