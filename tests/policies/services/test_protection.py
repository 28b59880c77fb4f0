"""Protection on the rows: written when a run ends, when a policy changes and when snapshots disappear."""

from datetime import timedelta

import pytest
import time_machine

from n2wbackup.lib import clock
from policies import tasks
from policies.domain import protection
from policies.domain.errors import RejectedError
from policies.domain.protection import Judgement
from policies.models import Policy, PolicyTarget, Run, RunSnapshot, Schedule, VolumeFire
from policies.ports import Snapshot
from policies.services import existing, operations
from policies.services.due import objectives
from policies.services.entry import policies as entered
from policies.services.following import reconciling, refreshing
from tests.policies.services.backup import Backup, story

HOUR = timedelta(hours=1)


def plan(backup: Backup, cron: str = "0 2 * * *") -> None:
    made = Schedule.objects.create(owner=backup.policy.owner, name="nightly", cron=cron)
    entered.save(backup.policy, [made])


def again(backup: Backup) -> Run:
    """Back up once more, without the pause that AWS wants between two snapshots of a volume."""
    VolumeFire.objects.all().delete()
    return backup.to_end()


def judged(backup: Backup) -> Judgement:
    policy = Policy.objects.get(pk=backup.policy.pk)
    found = protection.Limits(policy.protected_until, policy.unprotected_from)
    return protection.judge(
        found, clock.now(), paused=policy.paused_since is not None, paused_since=policy.paused_since
    )


def words(backup: Backup) -> str:
    return judged(backup).in_words(clock.now())


def delete(backup: Backup, run: Run) -> list[str]:
    """Delete the run's snapshots behind the product's back."""
    ids = list(RunSnapshot.objects.filter(target__run=run).values_list("snapshot_id", flat=True))
    for each in ids:
        backup.cloud.delete_snapshot(each)
    return ids


def refresh(backup: Backup) -> int:
    """Let the refresh look at once."""
    PolicyTarget.objects.filter(policy=backup.policy).update(
        checked_at=clock.now() - refreshing.EVERY
    )
    return refreshing.tick()


def test_a_policy_that_never_ran_says_never(backup: Backup) -> None:
    plan(backup)
    assert words(backup) == "never"


def test_a_usable_run_protects_until_the_objective_has_passed(backup: Backup) -> None:
    plan(backup)
    backup.to_end()

    assert words(backup) == "protected"
    with time_machine.travel(clock.now() + 29 * HOUR, tick=False):
        assert words(backup) == "late 3 h"
    with time_machine.travel(clock.now() + 98 * HOUR, tick=False):
        assert words(backup) == "unprotected for 3 d"


def test_an_objective_that_is_set_beats_the_schedule(backup: Backup) -> None:
    plan(backup)
    backup.policy.rpo_hours = 1
    entered.save(backup.policy)
    backup.to_end()

    with time_machine.travel(clock.now() + timedelta(minutes=90), tick=False):
        assert words(backup) == "late 30 min"


def test_a_failed_run_takes_no_protection_away_and_gives_none(backup: Backup) -> None:
    plan(backup)
    backup.to_end()
    until = Policy.objects.get(pk=backup.policy.pk).protected_until
    backup.cloud.fail_next("fire", RejectedError("AWS refuses."))
    run = again(backup)

    assert run.state == "failed"
    policy = Policy.objects.get(pk=backup.policy.pk)
    assert policy.protected_until == until
    assert policy.failed_since == run.ended_at
    again(backup)
    assert Policy.objects.get(pk=backup.policy.pk).failed_since is None


def test_crash_snapshots_do_not_protect_what_has_a_before_script(backup: Backup) -> None:
    plan(backup)
    backup.scripts()
    backup.to_end()
    assert words(backup) == "protected"
    (backup.folder / "before_policy1.sh").unlink()
    Policy.objects.update(success_requires="application")
    point = PolicyTarget.objects.get(policy=backup.policy).crash_at
    before = Policy.objects.get(pk=backup.policy.pk)
    made = again(backup)
    target = PolicyTarget.objects.get(policy=backup.policy)
    assert (made.consistency, made.state) == ("crash", "partial")
    assert (target.crash_at, target.application_at) == (made.fired_at, point)
    assert Policy.objects.get(pk=backup.policy.pk).protected_until == before.protected_until


def test_a_second_target_without_a_restore_point_is_told(backup: Backup) -> None:
    plan(backup)
    backup.to_end()
    made = backup.cloud.add_instance()
    first = backup.policy.targets.get()
    entered.replace_targets(
        backup.policy, [first, PolicyTarget(instance_id=made.instance_id, region="us-east-1")]
    )

    assert words(backup) == "never"
    known = backup.policy.targets.get(instance_id=first.instance_id)
    assert known.crash_at is not None
    again(backup)
    assert words(backup) == "protected"


def test_a_disabled_policy_is_paused_and_says_for_how_long(backup: Backup) -> None:
    plan(backup)
    backup.to_end()
    operations.disable([backup.policy], by=operations.COMMAND_LINE)

    with time_machine.travel(clock.now() + 72 * HOUR, tick=False):
        assert words(backup) == "paused 3 d"
        operations.enable([backup.policy], by=operations.COMMAND_LINE)
        assert words(backup) == "unprotected for 46 h"


def test_a_policy_that_runs_only_by_hand_promises_nothing(backup: Backup) -> None:
    entered.save(backup.policy)
    assert words(backup) == "paused 0 min"


def test_snapshots_deleted_behind_our_back_turn_it_within_one_refresh(backup: Backup) -> None:
    plan(backup)
    run = backup.to_end()
    ids = delete(backup, run)

    assert refresh(backup) == len(ids)

    assert words(backup) == "unprotected for 0 min"
    run.refresh_from_db()
    assert (run.restore_point, run.gone_at is not None) == (False, True)
    assert all(each in story(run)[-1] for each in ids)
    assert refresh(backup) == 0


def test_the_restore_point_before_it_counts_again(backup: Backup) -> None:
    plan(backup)
    first = backup.to_end()
    second = again(backup)
    delete(backup, second)
    refresh(backup)

    assert words(backup) == "protected"
    target = PolicyTarget.objects.get(policy=backup.policy)
    assert target.crash_point is not None
    assert target.crash_point.run_id == first.pk
    assert target.lost_at is not None


def test_one_answer_without_it_is_no_loss(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    plan(backup)
    backup.to_end()
    describe = backup.cloud.describe
    answers: list[dict[str, Snapshot]] = [{}]
    monkeypatch.setattr(
        backup.cloud, "describe", lambda *asked: answers.pop() if answers else describe(*asked)
    )

    assert refresh(backup) == 0
    assert words(backup) == "protected"


def test_an_account_that_does_not_answer_loses_nothing(backup: Backup) -> None:
    plan(backup)
    delete(backup, backup.to_end())
    backup.cloud.fail_next("describe", RejectedError("AWS is out of order."))

    assert refresh(backup) == 0
    assert words(backup) == "protected"


def test_what_is_found_again_counts_again(backup: Backup) -> None:
    plan(backup)
    run = backup.to_end()
    rows = RunSnapshot.objects.filter(target__run=run)
    existing.mark_gone([row.snapshot_id for row in rows], clock.now())
    assert words(backup) == "unprotected for 0 min"

    reconciling.reconcile()

    assert words(backup) == "protected"
    run.refresh_from_db()
    assert (run.restore_point, run.gone_at) == (True, None)


def test_what_nobody_reckoned_is_reckoned_by_the_tick(backup: Backup) -> None:
    plan(backup)
    backup.to_end()
    Policy.objects.update(
        reckoned_at=None, protected_until=protection.NEVER_UNTIL, objective_seconds=None
    )
    PolicyTarget.objects.update(
        crash_point=None, crash_at=None, application_point=None, checked_at=None
    )

    assert objectives.tick() == 1
    assert words(backup) == "protected"
    assert objectives.tick() == 0


def test_the_task_does_both(backup: Backup) -> None:
    plan(backup)
    delete(backup, backup.to_end())
    PolicyTarget.objects.update(checked_at=clock.now() - refreshing.EVERY)
    tasks.refresh()
    assert words(backup) == "unprotected for 0 min"
