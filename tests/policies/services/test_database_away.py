"""A database that goes away before anything is frozen costs a run some time, and not its backup."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import OperationalError

from n2wbackup.lib import clock
from policies.domain.runs.sequence import Event, State
from policies.models import Run, WindowLease
from policies.services import runs
from policies.services.following import completing
from policies.services.watch import abandoned
from policies.services.window import keeping, sealing
from scripts_admin.guard import spool
from tests.policies.services.backup import Backup, story
from tests.scripts_admin.guard.stage import until


def _locked(*_: object, **__: object) -> None:
    raise OperationalError("database is locked")


def test_a_run_that_the_database_left_while_preparing_is_prepared_anew(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    run = backup.start()
    with monkeypatch.context() as patch:
        patch.setattr(backup.cloud, "warm", _locked)
        keeping.execute(run.pk)

    run.refresh_from_db()
    assert (run.state, run.losses, run.reason) == (State.QUEUED, 1, "")
    assert story(run)[-1] == (
        "the database was away while preparing; nothing was frozen, it is tried again"
    )
    assert not WindowLease.objects.exists()
    assert backup.marks == []
    with time_machine.travel(clock.now() + timedelta(seconds=16)):
        assert backup.to_end(run).state == State.SUCCEEDED
    assert backup.marks == ["before", "after 1", "complete 1"]


def test_a_window_that_the_database_left_at_its_opening_keeps_no_guard(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    run = backup.start()
    apply = runs.apply

    def leave(run: Run, event: Event, *words: str, **more: Any) -> bool:
        if event == Event.ORDERED:
            _locked()
        return apply(run, event, *words, **more)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "apply", leave)
        # Whoever looks at the error holds all that stood in its frames.
        with pytest.raises(OperationalError) as _seen:
            keeping.execute(run.pk)

        until(lambda: not spool.is_held(backup.spooled(run)))
    abandoned.enter_all()
    run.refresh_from_db()
    assert (run.state, run.losses) == (State.QUEUED, 1)
    assert backup.marks == []


def test_a_complete_that_the_database_left_before_its_start_is_run_once(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    run = backup.window()
    backup.cloud.advance()
    backup.settle(run)
    with monkeypatch.context() as patch:
        patch.setattr(sealing, "secrets", _locked)
        with pytest.raises(OperationalError):
            completing.execute(run.pk)

    assert not spool.is_held(backup.spooled(run))
    assert backup.complete(run).state == State.SUCCEEDED
    assert backup.marks == ["before", "after 1", "complete 1"]
