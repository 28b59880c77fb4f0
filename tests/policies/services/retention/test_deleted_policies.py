"""Who deletes a policy decides what becomes of its restore points."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from n2wbackup.lib import clock
from policies.adapters.memory import MemoryCloud
from policies.adapters.memory_removing import MemoryRemoving
from policies.domain.errors import UnreachableError
from policies.domain.retention.points import Fate, HoldKind
from policies.models import Policy, Removal, Run, RunSnapshot
from policies.services import operations
from policies.services.retention import cleaning, holds, planning
from tests.factories import PolicyFactory, alice
from tests.policies.services.retention.rows import in_cloud, nightly, snapshot_of
from tests.policies.views import page

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
DAY = timedelta(days=1)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    passed = [timedelta()]
    monkeypatch.setattr(clock, "now", lambda: datetime.now(UTC) + passed[0])

    def let(span: timedelta) -> None:
        passed[0] += span

    return let


@pytest.fixture
def made(cloud: MemoryCloud, removing: MemoryRemoving) -> list[Run]:
    policy = PolicyFactory.create(owner=alice(), name="policy1", keep_last=3)
    found = nightly(policy, 5)
    in_cloud(cloud, found)
    return found


def delete(fate: Fate) -> None:
    by = operations.person(alice())
    (result,) = operations.delete(Policy.objects.all(), by=by, fate=fate)
    assert not result.refusal


def ids(runs: list[Run]) -> set[str]:
    return {snapshot_of(run).snapshot_id for run in runs}


def test_by_default_all_stay(
    made: list[Run], cloud: MemoryCloud, later: Callable[[timedelta], None]
) -> None:
    cleaning.tick()  # two are announced
    delete(Fate.KEEP)
    later(2 * DAY)
    cleaning.tick()
    assert cloud.snapshot_ids == ids(made)
    assert not Removal.objects.exists()


def test_what_has_begun_is_taken_back_where_all_stay(
    made: list[Run],
    cloud: MemoryCloud,
    removing: MemoryRemoving,
    later: Callable[[timedelta], None],
) -> None:
    removing.fail_next("delete", UnreachableError("Away."))
    cleaning.tick()
    later(25 * timedelta(hours=1))
    cleaning.tick()
    (stuck,) = Removal.objects.filter(ended_at=None)
    delete(Fate.KEEP)
    later(DAY)
    cleaning.tick()
    assert snapshot_of(stuck.run).state == RunSnapshot.State.COMPLETED
    assert Run.objects.get(pk=stuck.run_id).restore_point
    assert ids([stuck.run]) <= cloud.snapshot_ids


def test_by_the_rules_each_goes_at_its_end_and_the_last_stays(
    made: list[Run], cloud: MemoryCloud, later: Callable[[timedelta], None]
) -> None:
    delete(Fate.RULES)
    verdict = planning.of_runs([Run.objects.get(pk=made[4].pk)])[made[4].pk]
    assert not verdict.keep
    cleaning.tick()
    assert cloud.snapshot_ids == ids(made)
    later(1.1 * DAY)
    cleaning.tick()
    assert cloud.snapshot_ids & ids(made[3:]) == set()
    assert ids(made[:1]) <= cloud.snapshot_ids
    later(30 * DAY)
    cleaning.tick()
    assert cloud.snapshot_ids == ids(made[:1])


def test_by_the_rules_the_last_that_is_left_stays_whatever_is_deleted_outside(
    made: list[Run], cloud: MemoryCloud, later: Callable[[timedelta], None]
) -> None:
    delete(Fate.RULES)
    for gone in made[:2]:
        cloud.delete_snapshot(snapshot_of(gone).snapshot_id)
    for _ in range(3):
        later(30 * DAY)
        cleaning.tick()
    assert cloud.snapshot_ids == ids(made[2:3])
    assert not Removal.objects.filter(run=made[2]).exists()
    assert snapshot_of(made[2]).state == RunSnapshot.State.COMPLETED


def test_by_the_rules_nothing_goes_while_aws_does_not_answer(
    made: list[Run], cloud: MemoryCloud, later: Callable[[timedelta], None]
) -> None:
    delete(Fate.RULES)
    later(30 * DAY)
    cloud.fail_next("describe", UnreachableError("Away."))
    cleaning.tick()
    assert cloud.snapshot_ids == ids(made)
    assert "not found in AWS: Away." in Removal.objects.filter(ended_at=None)[0].problem
    later(cleaning.RETRY)
    cleaning.tick()
    assert cloud.snapshot_ids == ids(made[:1])


def test_what_waits_keeps_nothing_of_another_deleted_policy_back(
    made: list[Run],
    cloud: MemoryCloud,
    removing: MemoryRemoving,
    later: Callable[[timedelta], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cleaning, "RUNS", 2)
    delete(Fate.NOW)
    others = nightly(PolicyFactory.create(owner=alice(), name="another"), 2)
    in_cloud(cloud, others)
    for _ in range(2):
        removing.fail_next("images_of", UnreachableError("Away."))
    cleaning.tick()  # the first two of the five wait now
    assert cloud.snapshot_ids == ids(made) | ids(others)
    later(timedelta(seconds=1))
    delete(Fate.NOW)
    for _ in range(3):
        cleaning.tick()
    waiting = [row.run for row in Removal.objects.filter(ended_at=None)]
    assert len(waiting) == 2
    assert cloud.snapshot_ids == ids(waiting)
    assert not ids(others) & cloud.snapshot_ids


def test_at_once_all_go_but_what_is_held(made: list[Run], cloud: MemoryCloud) -> None:
    holds.take(made[2].pk, HoldKind.COPY, key="c", reason="being copied", until=None)
    delete(Fate.NOW)
    cleaning.tick()
    assert cloud.snapshot_ids == ids([made[2]])


def test_the_form_asks_and_wants_more_typed_to_delete_them(
    made: list[Run], cloud: MemoryCloud
) -> None:
    client: Client = page.client_of(alice())
    path = "/policies/alice/policy1/delete/"
    answer = client.post(path, {"fate": "now", "name": "policy1"})
    assert "Nothing was deleted" in answer.content.decode()
    assert Policy.objects.exists()

    client.post(path, {"fate": "now", "name": "policy1 and 5 restore points"})
    assert not Policy.objects.exists()
    cleaning.tick()
    assert cloud.snapshot_ids == set()


def test_a_form_that_does_not_ask_keeps_all(made: list[Run], cloud: MemoryCloud) -> None:
    page.client_of(alice()).post("/policies/alice/policy1/delete/", {"name": "policy1"})
    assert not Policy.objects.exists()
    cleaning.tick()
    assert cloud.snapshot_ids == ids(made)
