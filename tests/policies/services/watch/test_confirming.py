"""A person's confirmation that an application is thawed."""

from datetime import timedelta
from pathlib import Path

import pytest
import time_machine

from n2wbackup.lib import clock, home
from policies.domain.errors import RefusedError
from policies.domain.runs.sequence import State
from policies.models import Policy, WindowLease
from policies.services.watch import abandoned, confirming
from scripts_admin.guard import spool
from tests import factories
from tests.policies.services.backup import Backup, state, story


def test_where_nothing_may_be_frozen_there_is_nothing_to_confirm(backup: Backup) -> None:
    run = backup.window()

    with pytest.raises(RefusedError, match="alice/policy1 is not marked as frozen"):
        confirming.confirm(backup.policy, by="alice")

    assert state(run) == State.WAITING
    assert "confirmed" not in " ".join(story(run))


def test_a_word_ends_the_repetitions_of_after(backup: Backup) -> None:
    backup.scripts(after="exit 1")
    run = backup.window()
    assert run.state == State.THAWING
    backup.policy.refresh_from_db()

    confirming.confirm(backup.policy, by="bob")

    run.refresh_from_db()
    backup.policy.refresh_from_db()
    assert (run.state, run.thaw_next_at) == (State.WAITING, None)
    assert backup.policy.may_be_frozen_since is None
    assert not WindowLease.objects.exists()
    assert story(run)[-1] == "bob confirmed that it is thawed"
    abandoned.enter_all()
    backup.thaw(run)
    assert backup.marks == ["before", "after 1"]
    backup.cloud.advance()
    assert backup.complete(backup.settle(run)).state == State.PARTIAL
    assert backup.marks[-1] == "complete 0"


def test_a_word_that_comes_where_the_spool_is_out_of_reach_ends_the_repetitions_too(
    backup: Backup, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    backup.scripts(after="exit 1")
    run = backup.window()
    backup.policy.refresh_from_db()
    hidden = home.spool().rename(tmp_path / "hidden")  # as the sandbox of the pages shows it
    home.spool()

    confirming.confirm(backup.policy, by="bob")

    home.spool().rmdir()
    hidden.rename(home.spool())
    note = home.spool().parent / "confirmed" / str(run.pk)
    assert note.exists()
    thawer = abandoned.Thawer(home.spool(), home.runtime())
    with time_machine.travel(clock.now() + timedelta(hours=1)):
        assert thawer.turn() == 0
    assert thawer.reap()
    assert not note.exists()
    assert (backup.spooled(run) / spool.SETTLED).exists()
    assert backup.marks == ["before", "after 1"]


def test_a_word_takes_the_mark_of_a_thaw_that_was_given_up(backup: Backup) -> None:
    Policy.objects.update(may_be_frozen_since=clock.now())
    backup.policy.refresh_from_db()
    run = factories.RunFactory.create(
        policy=backup.policy, state=State.PARTIAL, ended_at=clock.now()
    )

    confirming.confirm(backup.policy, by="alice")

    backup.policy.refresh_from_db()
    assert backup.policy.may_be_frozen_since is None
    assert story(run) == ["alice confirmed that it is thawed"]


def test_a_word_about_a_run_that_is_frozen_right_now_is_refused(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = factories.RunFactory.create(policy=backup.policy, state=State.FROZEN)

    with pytest.raises(RefusedError):
        confirming.confirm(backup.policy, by="alice")

    assert state(run) == State.FROZEN
