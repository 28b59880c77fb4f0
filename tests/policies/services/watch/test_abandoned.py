"""The watchdog after the death of a worker, at each possible moment."""

from datetime import timedelta
from typing import Any, NoReturn

import pytest
import time_machine

from n2wbackup.lib import clock, home
from policies.domain.runs.sequence import State
from policies.models import Policy, RunTarget, WindowLease
from policies.services import runs
from policies.services.watch import abandoned
from policies.services.window import at_once, entering, keeping
from scripts_admin.guard import spool
from scripts_admin.guard.keeper import Guard
from tests import factories
from tests.policies.services.backup import Backup, outcomes, snapshots_of, state, story, target
from tests.policies.services.losses import (
    DiedError,
    die,
    dying,
    kill_guard_and_die,
    leave_and_die,
    recover,
)
from tests.scripts_admin.guard.stage import until


def test_a_worker_that_dies_while_preparing_leaves_a_run_that_is_tried_again(
    backup: Backup,
) -> None:
    backup.scripts()
    run = backup.start()
    with dying(run) as patch:
        patch.setattr(backup.cloud, "warm", die)
        keeping.execute(run.pk)
    assert state(run) == State.PREPARING
    assert WindowLease.objects.exists()

    recover(run)

    assert (run.state, run.losses) == (State.QUEUED, 1)
    assert not WindowLease.objects.exists()
    with time_machine.travel(clock.now() + timedelta(seconds=16)):
        assert backup.to_end(run).state == State.SUCCEEDED
    assert backup.marks == ["before", "after 1", "complete 1"]


def test_a_run_that_kills_its_worker_each_time_is_given_up(backup: Backup) -> None:
    backup.scripts()
    run = backup.start()
    for number in range(runs.MAX_LOSSES):
        with time_machine.travel(clock.now() + timedelta(minutes=number)):
            with dying(run) as patch:
                patch.setattr(backup.cloud, "warm", die)
                keeping.execute(run.pk)
            recover(run)

    assert run.state == State.COMPLETING
    assert run.reason == "The run was lost 5 times during its preparation. It is not tried again."
    assert backup.complete(run).state == State.FAILED
    assert backup.marks == ["complete 0"]


def test_a_worker_that_dies_between_record_and_order_has_frozen_nothing(backup: Backup) -> None:
    backup.scripts()
    run = backup.start()
    with dying(run) as patch:
        patch.setattr(Guard, "wait_until_ready", leave_and_die)
        keeping.execute(run.pk)
    assert (backup.spooled(run) / spool.RECORD).exists()

    assert backup.thaw(run).state == State.QUEUED

    assert backup.marks == []


def test_a_worker_that_dies_between_order_and_go_has_frozen_nothing(backup: Backup) -> None:
    backup.scripts()
    run = backup.start()
    with dying(run) as patch:
        patch.setattr(Guard, "go", die)
        keeping.execute(run.pk)
    assert state(run) == State.FROZEN

    backup.thaw(run)

    assert run.state == State.WAITING
    assert outcomes(run) == {"before": "not_run", "after": "not_run"}
    assert target(run).state == RunTarget.State.REFUSED
    assert backup.complete(backup.settle(run)).state == State.FAILED
    assert backup.marks == ["complete 0"]


@pytest.mark.parametrize("done", [True, False])
def test_a_worker_that_dies_while_it_fires_is_thawed_by_its_guard_and_the_tag_is_asked(
    backup: Backup, done: bool
) -> None:
    backup.scripts()
    run = backup.start()
    fire = backup.cloud.fire

    def fire_and_die(*arguments: Any) -> NoReturn:
        if done:
            fire(*arguments)
        raise DiedError

    with dying(run) as patch:
        patch.setattr(backup.cloud, "fire", fire_and_die)
        keeping.execute(run.pk)
    assert backup.marks == ["before", "after 1"]
    assert state(run) == State.FROZEN

    recover(run)
    assert (run.state, run.thaw_by) == (State.WAITING, "lost")
    assert target(run).state == RunTarget.State.UNKNOWN
    backup.cloud.advance()
    with time_machine.travel(clock.now() + timedelta(minutes=6)):
        backup.settle(run)
        backup.settle(run)
    backup.complete(run)

    assert backup.marks[-1] == "complete 0"
    assert run.consistency == ("crash" if done else "none")
    assert run.state == (State.PARTIAL if done else State.FAILED)
    assert "the thaw was automatic (lost)" in run.reason
    assert len(snapshots_of(run)) == (2 if done else 0)


def test_a_worker_that_dies_before_it_enters_is_entered_by_the_watchdog(backup: Backup) -> None:
    backup.scripts()
    run = backup.start()
    with dying(run) as patch:
        patch.setattr(at_once, "enter", die)
        keeping.execute(run.pk)
    backup.cloud.advance()

    recover(run)
    assert (run.state, run.thaw_by) == (State.WAITING, "worker")
    backup.settle(run)
    backup.complete(backup.settle(run))

    # Nobody knows whether the calls returned before the thaw.
    assert run.consistency == "crash"
    assert backup.marks == ["before", "after 1", backup.marks[-1]]
    assert [line for line in story(run) if line.startswith("before")] == [
        "before started",
        "before succeeded",
    ]


def test_what_the_worker_entered_is_not_entered_twice(backup: Backup) -> None:
    backup.scripts()
    run = backup.start()
    with dying(run) as patch:
        patch.setattr(at_once, "enter", lambda *_: False)
        patch.setattr(entering, "thaw", die)
        keeping.execute(run.pk)

    recover(run)
    recover(run)

    assert run.state == State.WAITING
    assert target(run).state == RunTarget.State.FIRED
    assert len(snapshots_of(run)) == 2
    assert run.phases.count() == 2
    assert len(story(run)) == len(set(story(run)))
    backup.cloud.advance()
    assert backup.complete(backup.settle(run)).consistency == "application"


def test_worker_and_guard_dead_while_frozen_are_thawed_from_the_spool(backup: Backup) -> None:
    backup.scripts()
    run = backup.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", kill_guard_and_die)
        keeping.execute(run.pk)
    assert backup.marks == ["before"]

    backup.thaw(run)

    assert backup.marks == ["before", "after 1"]
    assert (run.state, run.thaw_by) == (State.WAITING, "lost")
    backup.cloud.advance()
    with time_machine.travel(clock.now() + timedelta(minutes=6)):
        backup.settle(run)
        backup.complete(backup.settle(run))
    assert run.consistency == "crash"
    assert backup.marks[-1] == "complete 0"


def test_worker_and_guard_dead_during_before_are_thawed_twice_with_0(backup: Backup) -> None:
    Policy.objects.update(before_timeout_seconds=3)
    backup.policy.refresh_from_db()
    backup.scripts(before="touch began; sleep 60")
    run = backup.start()

    def kill_during_before(guard: Guard, *_: object) -> NoReturn:
        until((backup.folder / "began").exists)
        kill_guard_and_die(guard)

    with dying(run) as patch:
        patch.setattr(Guard, "before", kill_during_before)
        keeping.execute(run.pk)

    backup.thaw(run)
    assert run.state == State.THAWING
    assert "after runs once more, because before was interrupted" in story(run)[-1]
    backup.policy.refresh_from_db()
    assert backup.policy.may_be_frozen_since is None  # as far as is known, it is thawed
    while backup.thaw(run).state == State.THAWING:
        pass

    assert backup.marks == ["before", "after 0", "after 0"]
    assert outcomes(run) == {"before": "interrupted", "after": "succeeded"}
    assert run.state == State.WAITING


def test_after_a_reboot_the_window_is_thawed_with_0_twice(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    Policy.objects.update(before_timeout_seconds=3)
    backup.policy.refresh_from_db()
    backup.scripts()
    run = backup.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", kill_guard_and_die)
        keeping.execute(run.pk)
    spool.remove(keeping.runtime_folder(run.pk))  # as after a restart of the machine
    path = backup.spooled(run) / spool.RECORD
    path.write_text(path.read_text().replace('"boot": "', '"boot": "another-'))

    while backup.thaw(run).state in (State.FROZEN, State.THAWING):
        pass

    assert backup.marks == ["before", "after 0", "after 0"]
    assert run.state == State.WAITING
    assert outcomes(run)["before"] == "interrupted"
    assert target(run).state == RunTarget.State.UNKNOWN


def test_a_window_whose_spool_is_gone_is_told_as_what_it_is(backup: Backup) -> None:
    run = factories.RunFactory.create(
        policy=backup.policy, state=State.FROZEN, server=home.server_id(), ordered_at=clock.now()
    )
    factories.RunTargetFactory.create(run=run, state=RunTarget.State.PLANNED)

    recover(run)

    assert run.state == State.WAITING
    assert "thaw by hand and confirm it" in run.reason
    backup.policy.refresh_from_db()
    assert backup.policy.may_be_frozen_since is not None
    assert target(run).state == RunTarget.State.UNKNOWN


def test_runs_of_another_server_are_left_to_it(backup: Backup) -> None:
    run = factories.RunFactory.create(
        policy=backup.policy, state=State.FROZEN, server="another", ordered_at=clock.now()
    )

    assert recover(run).state == State.FROZEN


def test_a_run_that_somebody_keeps_is_left_to_them(backup: Backup) -> None:
    backup.scripts()
    run = backup.start()
    seen: list[State] = []
    fire = backup.cloud.fire

    def look(*arguments: Any) -> Any:
        abandoned.Thawer(home.spool(), home.runtime()).turn()
        abandoned.enter_all()
        seen.append(state(run))
        return fire(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backup.cloud, "fire", look)
        backup.window(run)

    assert seen == [State.FROZEN]
    assert backup.marks == ["before", "after 1"]
