"""A server with a copy of the database is seen in AWS: nothing is deleted there until a person confirms."""

from datetime import timedelta
from uuid import uuid4

import pytest

from n2wbackup.lib import clock, home
from policies.adapters.limits import RUN_TAG, SERVER_TAG
from policies.adapters.memory import MemoryCloud
from policies.adapters.memory_removing import MemoryRemoving
from policies.domain.errors import RefusedError, UnreachableError
from policies.domain.retention.points import Fate
from policies.models import Account, Hold, Policy, Removal, Run, Server
from policies.ports import Snapshot
from policies.services import operations
from policies.services.retention import cleaning
from policies.services.servers import alone, strangers
from tests.factories import AccountFactory, PolicyFactory, alice
from tests.policies.services.retention.rows import in_cloud, nightly

pytestmark = [pytest.mark.usefixtures("db"), pytest.mark.one_database]
REGION = "us-east-1"


@pytest.fixture
def account(removing: MemoryRemoving) -> Account:
    """Give an account of a server that has worked for a month."""
    alone.refuse()
    Server.objects.update(confirmed_at=clock.now() - timedelta(days=30))
    return AccountFactory.create(owner=alice())


def foreign(cloud: MemoryCloud, age: timedelta, run: str = "", server: str = "") -> None:
    tags = {SERVER_TAG: server or home.server_id(), RUN_TAG: run or str(uuid4())}
    key = cloud.new_snapshot_id()
    made = Snapshot(key, "vol-1", "completed", 100, tags=tags, started_at=clock.now() - age)
    cloud.keep(REGION, made)


def test_a_new_snapshot_of_an_unknown_run_stops_deleting_there(
    account: Account, cloud: MemoryCloud, removing: MemoryRemoving
) -> None:
    foreign(cloud, timedelta(hours=1))
    with pytest.raises(RefusedError, match="whose runs its database does not know"):
        strangers.refuse(account, REGION, removing)
    calls = len(removing.calls)
    with pytest.raises(RefusedError, match="confirm_server"):
        strangers.refuse(account, REGION, removing)
    assert len(removing.calls) == calls

    strangers.refuse(account, "eu-west-1", removing)
    alone.confirm()
    strangers.refuse(account, REGION, removing)  # that one was looked at
    strangers.forget()
    foreign(cloud, timedelta())
    with pytest.raises(RefusedError):
        strangers.refuse(account, REGION, removing)


@pytest.mark.parametrize("age", [timedelta(days=8), timedelta(days=40)])
def test_what_is_older_is_not_asked_for(
    account: Account, cloud: MemoryCloud, removing: MemoryRemoving, age: timedelta
) -> None:
    foreign(cloud, age)
    strangers.refuse(account, REGION, removing)


def test_those_from_before_the_server_is_known_are_a_lost_servers(
    account: Account, cloud: MemoryCloud, removing: MemoryRemoving
) -> None:
    Server.objects.update(confirmed_at=clock.now() - timedelta(hours=2))
    foreign(cloud, timedelta(hours=3))
    strangers.refuse(account, REGION, removing)


def test_other_servers_of_this_database_count(
    account: Account, cloud: MemoryCloud, removing: MemoryRemoving
) -> None:
    now, other = clock.now(), str(uuid4())
    foreign(cloud, timedelta(hours=1), server=other)
    strangers.refuse(account, REGION, removing)  # a server that nobody knows here
    strangers.forget()
    Server.objects.create(id=other, host="web2", version="1", first_seen_at=now, heartbeat_at=now)
    with pytest.raises(RefusedError):
        strangers.refuse(account, REGION, removing)


def test_an_answer_serves_for_ten_minutes(
    account: Account, cloud: MemoryCloud, removing: MemoryRemoving, monkeypatch: pytest.MonkeyPatch
) -> None:
    strangers.refuse(account, REGION, removing)
    foreign(cloud, timedelta())
    strangers.refuse(account, REGION, removing)
    boottime = clock.boottime
    monkeypatch.setattr(clock, "boottime", lambda: boottime() + strangers.FRESH_SECONDS)
    with pytest.raises(RefusedError):
        strangers.refuse(account, REGION, removing)


def test_cleaning_lets_wait_what_it_let_go(
    account: Account, cloud: MemoryCloud, removing: MemoryRemoving
) -> None:
    policy: Policy = PolicyFactory.create(owner=alice(), name="policy1", keep_last=2)
    runs: list[Run] = nightly(policy, 4)
    in_cloud(cloud, runs)
    foreign(cloud, timedelta(hours=1))
    before = cloud.snapshot_ids

    (result,) = operations.prune([policy], by=operations.COMMAND_LINE)
    assert "deleted 0 restore points; the others stay for now: AWS has new" in result.sentence

    assert cloud.snapshot_ids == before
    assert not [deed for deed, _ in removing.calls if deed == "delete"]
    waiting = Removal.objects.filter(begun_at=None, ended_at=None)
    assert {row.run_id for row in waiting} == {run.pk for run in runs[2:]}
    assert all("whose runs its database does not know" in row.problem for row in waiting)
    assert Run.objects.filter(restore_point=True).count() == len(runs)
    assert not Hold.objects.exists()

    alone.confirm()
    assert cleaning.prune(policy, by="alice") == len(waiting)


@pytest.mark.parametrize("fate", [Fate.NOW, Fate.RULES])
def test_an_order_to_delete_waits_until_the_sign_is_confirmed(
    account: Account,
    cloud: MemoryCloud,
    removing: MemoryRemoving,
    monkeypatch: pytest.MonkeyPatch,
    fate: Fate,
) -> None:
    policy: Policy = PolicyFactory.create(owner=alice(), name="policy1", keep_last=2)
    runs: list[Run] = nightly(policy, 4)
    in_cloud(cloud, runs)
    foreign(cloud, timedelta(hours=1))
    before = cloud.snapshot_ids
    operations.delete(Policy.objects.all(), by=operations.COMMAND_LINE, fate=fate)
    Removal.objects.update(goes_after=clock.now())
    ordered = set(Removal.objects.values_list("run", flat=True))
    now = clock.now

    for hours in range(3):
        monkeypatch.setattr(clock, "now", lambda hours=hours: now() + timedelta(hours=2 * hours))
        cleaning.tick()
        assert set(Removal.objects.filter(begun_at=None).values_list("run", flat=True)) == ordered
    assert cloud.snapshot_ids == before

    alone.confirm()
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(hours=6))
    cleaning.tick()
    assert set(Removal.objects.filter(ended_at=None).values_list("run", flat=True)) == set()
    assert len(cloud.snapshot_ids) == len(before) - len(ordered)


def test_a_deletion_that_has_begun_waits_and_goes_on(
    account: Account, cloud: MemoryCloud, removing: MemoryRemoving, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy: Policy = PolicyFactory.create(owner=alice(), name="policy1")
    in_cloud(cloud, nightly(policy, 1))
    operations.delete(Policy.objects.all(), by=operations.COMMAND_LINE, fate=Fate.NOW)
    removing.fail_next("images_of", UnreachableError("Away."))
    cleaning.tick()
    (row,) = Removal.objects.filter(begun_at__isnull=False, ended_at=None)
    foreign(cloud, timedelta(hours=1))
    strangers.forget()
    Removal.objects.update(next_at=None)
    cleaning.tick()
    row.refresh_from_db()
    assert "whose runs its database does not know" in row.problem
    assert not Hold.objects.exists()

    alone.confirm()
    Removal.objects.update(next_at=None)
    assert cleaning.tick() == 1
