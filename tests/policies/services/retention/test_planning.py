"""What becomes of the restore points that are in the database."""

from datetime import timedelta

import pytest
import time_machine

from n2wbackup.lib import clock
from policies.domain.proofs import Level
from policies.domain.proofs import State as ProofState
from policies.domain.retention import plan as deciding
from policies.domain.retention.points import Verdict
from policies.domain.runs.sequence import State
from policies.domain.runs.verdict import Consistency
from policies.models import Policy, Run, RunSnapshot, Server
from policies.services.retention import planning
from tests.factories import PolicyFactory, RunFactory, alice
from tests.policies.services.retention.rows import DAY, nightly, point, proven

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


@pytest.fixture
def policy() -> Policy:
    return PolicyFactory.create(owner=alice(), name="policy1", keep_last=2)


def gone(verdicts: list[Verdict]) -> list[str]:
    return [verdict.point.key for verdict in verdicts if not verdict.keep]


def keys(runs: list[Run]) -> list[str]:
    return [str(run.pk) for run in runs]


def reasons(run: Run) -> tuple[str, ...]:
    run.refresh_from_db()
    verdict = planning.of_runs([run]).get(run.pk)
    assert verdict is not None
    return verdict.reasons


def test_the_rules_of_the_row_decide(policy: Policy) -> None:
    made = nightly(policy, 5)

    assert gone(planning.of_policy(policy)) == keys(made[2:])
    assert reasons(made[0]) == ("last 1 of 2",)
    assert reasons(made[3]) == (deciding.TOO_OLD,)


def test_only_restore_points_that_exist_are_looked_at(policy: Policy) -> None:
    made = nightly(policy, 3)
    failed = RunFactory.create(policy=policy, state=State.FAILED, ended_at=clock.now())
    Run.objects.filter(pk=made[0].pk).update(restore_point=False)

    assert [v.point.key for v in planning.of_policy(policy)] == keys(made[1:])
    made[0].refresh_from_db()
    assert planning.of_runs([failed, made[0]]) == {}


def test_a_target_with_a_snapshot_that_is_gone_cannot_be_restored(policy: Policy) -> None:
    newest, older = nightly(policy, 2)
    RunSnapshot.objects.filter(target__run=newest).update(state=RunSnapshot.State.GONE)
    Policy.objects.update(keep_last=1)

    assert reasons(newest) == (deciding.NO_BETTER,)
    assert reasons(older) == ("last 1 of 1",)


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"enabled": False}, planning.DISABLED),
        ({"may_be_frozen_since": clock.now()}, planning.FROZEN),
        ({"retention_timezone": "Mars/Olympus"}, planning.NO_ZONE.format("Mars/Olympus")),
    ],
)
def test_what_keeps_everything(policy: Policy, columns: dict[str, object], why: str) -> None:
    made = nightly(policy, 5)
    Policy.objects.update(**columns)
    policy.refresh_from_db()

    assert gone(planning.of_policy(policy)) == []
    assert why in reasons(made[4])


def test_nothing_goes_while_a_run_is_under_way(policy: Policy) -> None:
    made = nightly(policy, 5)
    RunFactory.create(policy=policy, state=State.FROZEN)

    assert reasons(made[4]) == (planning.UNDER_WAY,)


def test_without_a_policy_or_a_rule_nothing_goes(policy: Policy) -> None:
    made = nightly(policy, 3)
    Policy.objects.update(keep_last=0)
    assert reasons(made[2]) == (deciding.KEEPS_ALL,)
    for run in made:
        run.policy = None
        run.save()
    policy.delete()

    assert reasons(made[2]) == (planning.DELETED,)


def test_snapshots_of_a_server_that_nobody_knows_stay(policy: Policy) -> None:
    now = clock.now()
    foreign = point(policy, now - 9 * DAY, server="4d1f2d4e-0000-4000-8000-000000000000")
    known = point(policy, now - 8 * DAY, server="another")
    Server.objects.create(pk="another", host="h", first_seen_at=now, heartbeat_at=now)
    nightly(policy, 2)

    assert gone(planning.of_policy(policy)) == keys([known])
    assert reasons(foreign) == (deciding.NOT_OURS,)


def test_an_edit_tells_what_would_go_and_stayed_before(policy: Policy) -> None:
    made = nightly(policy, 5)
    RunFactory.create(policy=policy, state=State.FROZEN)  # what is under way does not hide it
    after = Policy.objects.get()
    after.keep_last = 1

    edit = planning.edited(policy, after)

    assert (edit.kept, edit.gone) == (1, 4)
    assert [verdict.point.key for verdict in edit.more] == keys(made[1:2])


def test_an_edit_that_keeps_more_asks_nothing(policy: Policy) -> None:
    nightly(policy, 5)
    after = Policy.objects.get()
    after.keep_last = 4

    assert planning.edited(policy, after).more == ()


def test_to_enable_a_policy_is_an_edit(policy: Policy) -> None:
    nightly(policy, 5)
    Policy.objects.update(enabled=False)

    assert len(planning.edited(Policy.objects.get(), policy).more) == 3


def test_a_list_leaves_out_what_would_take_too_long(policy: Policy) -> None:
    small = PolicyFactory.create(owner=alice(), name="small", keep_last=1)
    free = PolicyFactory.create(owner=alice(), name="free")
    found = [*nightly(policy, 4), *nightly(small, 2), *nightly(free, 2)]

    decided = planning.of_runs(found, most=5)

    assert {key for key in decided if decided[key].keep} == {
        *(run.pk for run in found[:2]),
        *(run.pk for run in found[6:]),
    }
    assert all(run.pk not in decided for run in found[4:6])


def test_what_a_target_is_worth_counts_for_itself(policy: Policy) -> None:
    other = point(
        policy, clock.now() - timedelta(days=30), Consistency.CRASH, instance="i-0aaaaaaaaaaaaaaaa"
    )
    nightly(policy, 3)

    assert reasons(other) == ("the last usable one of i-0aaaaaaaaaaaaaaaa in us-east-1",)


@pytest.mark.parametrize("ahead", [timedelta(hours=6), timedelta(days=400)])
def test_a_proof_that_passed_while_the_clock_was_ahead_hides_no_later_failure(
    policy: Policy, ahead: timedelta
) -> None:
    (run,) = nightly(policy, 1)
    with time_machine.travel(clock.now() + ahead, tick=False):
        proven(run, ProofState.PASSED, Level.MOUNTS)
    assert planning.of_policy(policy)[0].point.proven
    proven(run, ProofState.FAILED, Level.MOUNTS)
    assert not planning.of_policy(policy)[0].point.proven
    with time_machine.travel(clock.now() + 2 * ahead, tick=False):
        assert not planning.of_policy(policy)[0].point.proven
    proven(run, ProofState.PASSED, Level.MOUNTS)
    assert planning.of_policy(policy)[0].point.proven
