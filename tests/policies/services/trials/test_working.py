"""Trials as rows: who makes them, what goes first, and what is left of those whose worker died."""

import math
from datetime import timedelta

import pytest

from n2wbackup.lib import clock
from policies.domain import trials
from policies.domain.errors import RefusedError
from policies.domain.runs.sequence import State as RunState
from policies.domain.trials import Kind, State, Verdict
from policies.models import Account, Alarm, Policy, PolicyTarget, Trial, TrialResult, Turn
from policies.selectors import trials as selected
from policies.services import operations
from policies.services.trials import asking, drilling, monthly, working
from policies.services.trials.found import Found
from scripts_admin.domain.remote import Remote
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch) -> Policy:
    """A policy that has been backed up; nobody logs in for its drills."""
    policy = _policy("i-0123")

    def drill(_: Policy, __: Account, targets: list[PolicyTarget]) -> list[Found]:
        return [Found(each, Verdict.PASSED, "It did.", thaw_by="eof") for each in targets]

    monkeypatch.setitem(working.ACTS, Kind.DRILL, drill)
    return policy


def _policy(instance: str) -> Policy:
    made: Policy = factories.PolicyFactory.create(enabled=True)
    target = factories.PolicyTargetFactory.create(policy=made, instance_id=instance)
    target.remote = Remote("ssh", user="app").filled()
    target.save()
    run = factories.RunFactory.create(policy=made, state=RunState.SUCCEEDED, ended_at=clock.now())
    Policy.objects.filter(pk=made.pk).update(last_run=run)
    made.refresh_from_db()
    return made


def asked(policy: Policy) -> Trial:
    return asking.ask(policy, Kind.DRILL, by="bob")


def again(trial: Trial) -> Trial:
    trial.refresh_from_db()
    return trial


@pytest.mark.parametrize(
    "state", [RunState.QUEUED, RunState.PREPARING, RunState.FROZEN, RunState.THAWING]
)
def test_a_backup_goes_first_and_the_drill_follows(policy: Policy, state: RunState) -> None:
    run = factories.RunFactory.create(policy=policy, state=state)
    trial = asked(policy)

    working.execute(trial.pk)

    assert again(trial).state == State.QUEUED
    assert f"run {run.pk}" in trial.waiting_for
    assert trial.next_at > clock.now()
    run.delete()
    Trial.objects.update(next_at=clock.now())
    working.execute(trial.pk)
    assert (again(trial).state, trial.tries, trial.waiting_for) == (State.DONE, 1, "")


def test_a_run_that_only_waits_for_its_snapshots_keeps_no_drill_waiting(policy: Policy) -> None:
    factories.RunFactory.create(policy=policy, state=RunState.WAITING)
    trial = asked(policy)

    working.execute(trial.pk)

    assert again(trial).state == State.DONE


def test_one_drill_of_a_policy_at_a_time(policy: Policy) -> None:
    asked(policy)

    with pytest.raises(RefusedError, match="is being drilled already"):
        asked(policy)

    assert Trial.objects.count() == 1


@pytest.mark.parametrize("what", ["no instance", "switched off"])
def test_what_freezes_nothing_on_instances_is_not_drilled(policy: Policy, what: str) -> None:
    if what == "no instance":
        policy.targets.update(remote_by="")
    else:
        policy.scripts_enabled = False

    (result,) = operations.drill([policy], by=operations.COMMAND_LINE)

    assert result.refusal.endswith(".")
    assert not Trial.objects.exists()


def test_a_trial_whose_worker_died_is_made_anew_and_some_day_given_up(policy: Policy) -> None:
    trial = asked(policy)
    long_ago = clock.now() - timedelta(hours=1)
    Trial.objects.update(state=State.WORKING, next_at=long_ago, tries=1)
    working.execute(trial.pk)
    assert again(trial).results.get().verdict == Verdict.PASSED

    other = asked(policy)
    Trial.objects.filter(pk=other.pk).update(
        state=State.WORKING, next_at=long_ago, tries=working.TRIES
    )
    working.execute(other.pk)
    assert again(other).results.get().verdict == Verdict.FAILED
    assert Alarm.objects.get().kind == "drill"


def test_a_worker_that_lost_its_claim_enters_nothing(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = asked(policy)

    def slow(_: Policy, __: Account, targets: list[PolicyTarget]) -> list[Found]:
        Trial.objects.update(next_at=clock.now() + timedelta(minutes=20))
        return [Found(each, Verdict.PASSED, "It did.") for each in targets]

    monkeypatch.setitem(working.ACTS, Kind.DRILL, slow)
    working.execute(trial.pk)

    assert again(trial).state == State.WORKING
    assert not TrialResult.objects.exists()


def test_an_error_that_nobody_foresaw_ends_a_trial_all_the_same(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> list[Found]:
        raise ZeroDivisionError

    monkeypatch.setitem(working.ACTS, Kind.DRILL, broken)
    trial = asked(policy)
    working.execute(trial.pk)

    assert again(trial).state == State.DONE
    assert "ZeroDivisionError" in trial.results.get().sentence


def test_a_policy_is_drilled_by_itself_once_in_its_period(policy: Policy) -> None:
    assert monthly.tick() == 1
    trial = Trial.objects.get()
    assert trial.requested_by == ""
    assert monthly.tick() == 0  # not in the same minutes

    Turn.objects.all().delete()
    working.execute(trial.pk)
    assert monthly.tick() == 0
    assert Trial.objects.count() == 1


def test_those_that_are_due_together_are_drilled_one_after_the_other(policy: Policy) -> None:
    _policy("i-0456")

    assert monthly.tick() == 1
    assert monthly.tick() == 0
    Turn.objects.all().delete()
    assert monthly.tick() == 1
    assert {trial.policy_id for trial in Trial.objects.all()} == set(
        Policy.objects.values_list("pk", flat=True)
    )


@pytest.mark.parametrize(
    "change",
    [
        {"enabled": False},
        {"scripts_enabled": False},
        {"last_run": None},
        {"paused_at": timedelta(0), "paused_until": timedelta(days=1)},
        {"next_run_at": timedelta(minutes=5)},
    ],
)
def test_what_does_not_freeze_or_is_about_to_is_left_alone(
    policy: Policy, change: dict[str, object]
) -> None:
    now = clock.now()
    columns = {k: now + v if isinstance(v, timedelta) else v for k, v in change.items()}
    Policy.objects.filter(pk=policy.pk).update(**columns)

    assert monthly.tick() == 0


def test_each_policy_has_a_moment_of_its_own() -> None:
    now = clock.now()
    slots = {trials.slot(key, now) for key in range(50)}

    assert len(slots) == 50
    assert all(now - trials.EVERY < at <= now for at in slots)


@pytest.mark.parametrize(
    ("by", "state", "said"),
    [
        ("orphan", "dead", "KillUserProcesses=no"),
        ("never", "absent", "RemoveIPC=no"),
        ("orphan", "rebooted", "was restarted"),
        ("silence", "live", "late (over silence)"),
        ("deadline", "over", "late (over deadline)"),
        ("", "live", "had not thawed by itself 15 s after"),
    ],
)
def test_what_proves_nothing_says_what_to_do(by: str, state: str, said: str) -> None:
    verdict, sentence = trials.judged(by, state, "i-0123", "app")

    assert verdict == Verdict.FAILED
    assert said in sentence
    assert sentence.startswith("i-0123 ")
    assert sentence.endswith(".")


def test_a_failed_or_old_proof_is_told_to_those_who_may_see_the_policy_alone(
    policy: Policy,
) -> None:
    trial = asked(policy)
    working.execute(trial.pk)
    owner, stranger = policy.owner, factories.UserFactory.create()
    assert selected.unproven(owner) == []

    TrialResult.objects.update(at=clock.now() - timedelta(days=46))
    (row,) = selected.unproven(owner)
    assert (row.instance, row.sentence) == ("i-0123", "")
    (proof,) = selected.of_policy(policy).proofs
    assert proof.is_old

    TrialResult.objects.update(verdict=Verdict.FAILED, sentence="It did not.")
    (row,) = selected.unproven(owner)
    assert row.sentence == "It did not."
    assert selected.unproven(stranger) == []


def test_a_drill_of_many_instances_is_claimed_for_as_long_as_all_of_them_may_take(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = 100
    for number in range(1, many):
        made = factories.PolicyTargetFactory.create(policy=policy, instance_id=f"i-{number:04}")
        made.remote = Remote("ssm").filled()
        made.save()
    claimed = []

    def drill(_: Policy, __: Account, targets: list[PolicyTarget]) -> list[Found]:
        claimed.append(Trial.objects.get().next_at - clock.now())
        return [Found(each, Verdict.PASSED, "It did.", thaw_by="eof") for each in targets]

    monkeypatch.setitem(working.ACTS, Kind.DRILL, drill)

    working.execute(asked(policy).pk)

    rounds = math.ceil(many / drilling.AT_ONCE)
    assert claimed[0] >= timedelta(minutes=3) * rounds
    assert claimed[0] < timedelta(minutes=60)
