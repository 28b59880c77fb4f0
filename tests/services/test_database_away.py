"""A database that goes away before anything is frozen costs a run some time, and not its backup."""

from datetime import timedelta

import pytest
import time_machine
from django.db import OperationalError

from n2wbackup.lib import clock
from policies.domain.sequence import State
from policies.models import WindowLease
from policies.services import windows
from tests.services.backup import Backup, story


def _locked(*_: object, **__: object) -> None:
    raise OperationalError("database is locked")


def test_a_run_that_the_database_left_while_preparing_is_prepared_anew(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    run = backup.start()
    with monkeypatch.context() as patch:
        patch.setattr(backup.cloud, "warm", _locked)
        windows.execute(run.pk)

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
