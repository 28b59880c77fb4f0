"""A server with a copy of the database is seen in AWS: nothing is deleted there until a person confirms."""

from datetime import timedelta
from uuid import uuid4

import pytest

from n2wbackup.lib import clock, home
from policies.adapters.limits import RUN_TAG, SERVER_TAG
from policies.adapters.memory import MemoryCloud
from policies.adapters.memory_removing import MemoryRemoving
from policies.domain.errors import RefusedError
from policies.models import Account, Hold, Policy, Run, Server
from policies.ports import Snapshot
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


def test_cleaning_keeps_what_it_let_go(
    account: Account, cloud: MemoryCloud, removing: MemoryRemoving
) -> None:
    policy: Policy = PolicyFactory.create(owner=alice(), name="policy1", keep_last=2)
    runs: list[Run] = nightly(policy, 4)
    in_cloud(cloud, runs)
    foreign(cloud, timedelta(hours=1))
    before = cloud.snapshot_ids

    assert cleaning.prune(policy, by="alice") == 0

    assert cloud.snapshot_ids == before
    assert not [deed for deed, _ in removing.calls if deed == "delete"]
    reasons = set(Hold.objects.filter(released_at=None).values_list("reason", flat=True))
    assert all("whose runs its database does not know" in each for each in reasons)
    assert reasons
