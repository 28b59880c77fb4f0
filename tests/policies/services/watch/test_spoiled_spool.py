"""A spool folder that is spoiled while nothing of its run is frozen, or that has lost its locks: each run ends."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from n2wbackup.lib import clock, home
from policies.domain.runs import sequence
from policies.domain.runs.sequence import State
from policies.models import Alarm, Policy, Run
from policies.services.following import completing
from policies.services.following.in_flight import Flight
from policies.services.watch import abandoned
from policies.services.window import ending, keeping, preparing
from scripts_admin.guard import spool
from tests.ground import strangers
from tests.policies.services.backup import Backup, outcomes, state
from tests.policies.services.losses import die, dying
from tests.policies.services.watch.test_untrusted import left_frozen


def _gets_folder(folder: Path) -> None:
    strangers.gets(folder)


def _gets_lock(folder: Path) -> None:
    strangers.gets(folder / spool.LOCK)


def _link_folder(folder: Path) -> None:
    folder.rename(home.run() / folder.name)
    folder.symlink_to(home.run() / folder.name)


SPOIL = [_gets_folder, _gets_lock, _link_folder]


@pytest.mark.parametrize("spoil", SPOIL)
def test_a_run_that_died_in_preparation_ends_though_its_folder_is_a_strangers(
    backup: Backup, spoil: Callable[[Path], None]
) -> None:
    backup.scripts()
    run = backup.start()
    with dying(run) as patch:
        patch.setattr(preparing, "prepare", die)
        keeping.execute(run.pk)
    spoil(backup.spooled(run))

    abandoned.enter_all()
    keeping.execute(run.pk)

    run.refresh_from_db()
    assert run.state == State.COMPLETING
    assert "Nothing was frozen or backed up, because" in run.reason
    assert backup.complete(run).state == State.FAILED
    assert backup.marks == []


@pytest.mark.parametrize("spoil", SPOIL)
@pytest.mark.parametrize("at", ["start", "_end"])
def test_a_run_that_died_in_complete_ends_though_its_folder_is_a_strangers(
    backup: Backup, spoil: Callable[[Path], None], at: str
) -> None:
    backup.scripts()
    run = backup.window()
    backup.cloud.advance()
    backup.settle(run)
    with dying(run) as patch:
        if at == "start":
            patch.setattr(Flight, "start", die)
        else:
            patch.setattr(ending, "finish_all", die)
        completing.execute(run.pk)
    spoil(backup.spooled(run))

    abandoned.enter_all()
    assert state(run) == State.COMPLETING, "complete may still run"
    Run.objects.update(complete_started_at=clock.now() - timedelta(hours=1))
    abandoned.enter_all()

    run.refresh_from_db()
    if at == "_end" and spoil == _gets_lock:
        assert (run.state, run.reason) == (State.SUCCEEDED, "")  # its record is the server's own
    else:
        assert (run.state, outcomes(run)["complete"]) == (State.PARTIAL, "interrupted")


@pytest.mark.parametrize("spoil", SPOIL)
def test_another_servers_run_is_none_of_this_servers_business(
    backup: Backup, spoil: Callable[[Path], None]
) -> None:
    run = left_frozen(backup)
    Run.objects.update(server="another")
    spoil(backup.spooled(run))

    abandoned.enter_all()

    assert state(run) == State.FROZEN


def test_a_window_whose_lock_is_gone_is_told(backup: Backup) -> None:
    run = left_frozen(backup)
    (backup.spooled(run) / spool.LOCK).unlink()

    backup.thaw(run)

    run.refresh_from_db()
    assert run.state == State.WAITING
    assert Policy.objects.get().may_be_frozen_since is not None
    assert Alarm.objects.filter(run=run, kind="may_be_frozen").exists()


def test_a_preparation_whose_lock_is_gone_starts_again(backup: Backup) -> None:
    backup.scripts()
    run = backup.start()
    with dying(run) as patch:
        patch.setattr(preparing, "prepare", die)
        keeping.execute(run.pk)
    (backup.spooled(run) / spool.LOCK).unlink()

    abandoned.enter_all()

    assert backup.to_end(run).state in sequence.ENDS
