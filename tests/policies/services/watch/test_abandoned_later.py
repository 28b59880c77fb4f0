"""The watchdog and runs after their window, and spools without a run."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

import pytest
from django.core.management import call_command
from pytest_django import Settings

from n2wbackup.lib import home
from policies.domain.runs.sequence import State
from policies.models import Run
from policies.services.following import completing, in_flight, polling
from policies.services.following.in_flight import Flight
from policies.services.watch import abandoned
from policies.services.window import keeping, scripts
from scripts_admin.guard import journal, keeper, linux, spool
from scripts_admin.guard.keeper import Guard
from tests.policies.services.backup import Backup, outcomes, state
from tests.policies.services.losses import (
    DiedError,
    die,
    drop_lock_and_die,
    dying,
    kill_guard_and_die,
    recover,
    stop_guard_and_die,
)
from tests.scripts_admin.guard.stage import until

MAX_FREEZE_SECONDS = 4.0  # enough for a window to open on a machine with much other work


def test_looking_for_dead_runs_never_takes_the_lock_that_a_window_needs(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed: list[object] = []
    run = backup.start()

    def look(*_: object) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(spool, "is_held", probed.append)
            abandoned.enter_all()

    monkeypatch.setattr(backup.cloud, "warm", look)
    backup.window(run)

    assert run.state == State.WAITING
    assert probed == []


def test_a_worker_that_dies_while_complete_runs_leaves_its_outcome_to_be_entered(
    backup: Backup,
) -> None:
    backup.scripts(complete="sleep 0.3")
    run = completing_run(backup)
    with dying(run) as patch:
        patch.setattr(Guard, "wait_until_done", die)
        completing.execute(run.pk)

    recover(run)

    assert (run.state, outcomes(run)["complete"]) == (State.SUCCEEDED, "succeeded")
    assert backup.marks.count("complete 1") == 1


def completing_run(backup: Backup) -> Run:
    run = backup.window()
    backup.cloud.advance()
    assert backup.settle(run).state == State.COMPLETING
    return run


def test_a_complete_whose_guard_died_is_interrupted_and_never_repeated(backup: Backup) -> None:
    backup.scripts(complete="touch began; sleep 60")
    run = completing_run(backup)

    def kill_during_complete(flying: Sequence[Flight], *_: object) -> NoReturn:
        until((backup.folder / "began").exists)
        assert flying[0].guard is not None
        kill_guard_and_die(flying[0].guard)

    with dying(run) as patch:
        patch.setattr(in_flight, "landed", kill_during_complete)
        completing.execute(run.pk)

    completing.execute(run.pk)  # a hint that came twice
    recover(run)
    completing.execute(run.pk)

    assert backup.marks.count("complete 1") == 1
    assert (run.state, outcomes(run)["complete"]) == (State.PARTIAL, "interrupted")
    assert "complete interrupted" in run.reason


def test_a_complete_that_was_claimed_and_never_started_is_not_started_later(
    backup: Backup,
) -> None:
    backup.scripts()
    run = completing_run(backup)
    with dying(run) as patch:
        patch.setattr(keeper, "Guard", drop_lock_and_die)
        completing.execute(run.pk)

    completing.execute(run.pk)
    recover(run)

    assert not any(mark.startswith("complete") for mark in backup.marks)
    assert (run.state, outcomes(run)["complete"]) == (State.PARTIAL, "interrupted")


def test_a_waiting_run_that_lost_its_worker_just_goes_on(backup: Backup) -> None:
    backup.scripts()
    run = backup.window()

    assert recover(run).state == State.WAITING
    backup.cloud.advance()
    polling.poll()
    assert backup.complete(run).state == State.SUCCEEDED
    assert not backup.spooled(run).exists()


def test_the_spool_of_a_run_that_has_ended_is_cleared_away(backup: Backup) -> None:
    run = backup.to_end()
    folder = spool.create(home.spool(), str(run.pk))

    recover(run)

    assert not folder.exists()


def test_the_spool_of_a_run_without_a_row_is_thawed_before_it_is_cleared_away(
    backup: Backup,
) -> None:
    backup.scripts()
    run = backup.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", kill_guard_and_die)
        keeping.execute(run.pk)
    key = run.pk
    run.delete()
    run.pk = key
    abandoned.enter_all()
    assert backup.spooled(run).exists()

    thawer = abandoned.Thawer(home.spool(), home.runtime())
    thawer.turn()
    until(thawer.reap)
    abandoned.enter_all()

    assert backup.marks == ["before", "after 1"]
    assert not backup.spooled(run).exists()


@pytest.mark.parametrize("spoil", ["{", "[]", '{"format": 1}', '{"format": 7}'])
def test_a_record_that_cannot_be_read_keeps_no_other_window_frozen(
    backup: Backup, spoil: str
) -> None:
    broken = spool.create(home.spool(), "00000000-0000-4000-8000-000000000000")
    (broken / spool.RECORD).write_text(spoil)
    backup.scripts()
    run = backup.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", kill_guard_and_die)
        keeping.execute(run.pk)

    thawer = abandoned.Thawer(home.spool(), home.runtime())
    for _ in range(2):
        thawer.turn()
        until(thawer.reap)

    assert backup.marks == ["before", "after 1"]
    assert not spool.is_held(broken)  # a forgotten lock would look like a keeper


def test_a_window_is_thawed_though_the_key_to_its_masks_is_gone(
    backup: Backup, settings: Settings
) -> None:
    backup.scripts()
    run = backup.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", kill_guard_and_die)
        keeping.execute(run.pk)
    settings.N2W_ENCRYPTION_KEYS = ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]

    backup.thaw(run)

    assert backup.marks == ["before", "after 1"]
    assert not spool.is_held(backup.spooled(run))
    assert run.state == State.WAITING


def test_a_guard_that_was_stopped_is_woken_past_its_deadline_though_its_worker_is_dead(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    run = backup.start()
    real = scripts.spool_record
    monkeypatch.setattr(
        scripts,
        "spool_record",
        lambda *given: replace(real(*given), max_freeze_seconds=MAX_FREEZE_SECONDS),
    )
    monkeypatch.setattr(Guard, "thaw", stop_guard_and_die)
    with pytest.raises(DiedError):
        keeping.execute(run.pk)
    thawer = abandoned.Thawer(home.spool(), home.runtime())
    assert thawer.turn() == 1

    until(lambda: thawer.turn() == 0)

    known = journal.read(home.runtime() / str(run.pk))
    assert known.opened_boot is not None
    assert linux.boottime() >= known.opened_boot + MAX_FREEZE_SECONDS
    assert backup.marks == ["before", "after 1"]
    assert recover(run).state == State.WAITING


def test_a_guard_that_was_stopped_is_not_woken_before_its_deadline(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    run = backup.start()
    real, go = scripts.spool_record, Guard.go
    monkeypatch.setattr(
        scripts,
        "spool_record",
        lambda *given: replace(real(*given), max_freeze_seconds=MAX_FREEZE_SECONDS),
    )
    thawer = abandoned.Thawer(home.spool(), home.runtime())

    def seen_long_before(guard: Guard) -> None:
        assert thawer.turn() == 1
        time.sleep(MAX_FREEZE_SECONDS - 1)
        go(guard)

    monkeypatch.setattr(Guard, "go", seen_long_before)
    monkeypatch.setattr(Guard, "thaw", stop_guard_and_die)
    with pytest.raises(DiedError):
        keeping.execute(run.pk)

    until(lambda: thawer.turn() == 0)

    known = journal.read(home.runtime() / str(run.pk))
    assert known.opened_boot is not None
    assert known.afters[0].ordered_boot is not None
    assert known.afters[0].ordered_boot - known.opened_boot >= MAX_FREEZE_SECONDS


def test_an_attempt_is_made_when_it_is_due_and_not_before(backup: Backup) -> None:
    backup.scripts(after="exit 1")
    run = backup.window()
    thawer = abandoned.Thawer(home.spool(), home.runtime())

    assert thawer.turn() == 1
    assert thawer.reap()
    assert thawer.standing() == 1
    assert state(run) == State.THAWING


def test_recover_is_one_pass_of_the_watchdog(
    backup: Backup, capsys: pytest.CaptureFixture[str]
) -> None:
    backup.scripts()
    run = backup.start()
    with dying(run) as patch:
        patch.setattr(Guard, "thaw", kill_guard_and_die)
        keeping.execute(run.pk)

    call_command("recover", json=True)

    assert state(run) == State.WAITING
    assert backup.marks == ["before", "after 1"]
    assert '"still_open": 0' in capsys.readouterr().out
