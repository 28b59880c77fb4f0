"""A person asks for the thaw now, instead of at the watchdog's next try."""

import pytest

from n2wbackup.lib import clock, home
from policies.domain.errors import RefusedError
from policies.domain.runs.sequence import State
from policies.models import Policy, Run
from policies.services import operations
from policies.services.watch import abandoned, asking
from scripts_admin.guard import thaw
from tests.policies.services.backup import Backup, story
from tests.scripts_admin.guard.stage import until


def test_where_nothing_may_be_frozen_nothing_is_run(backup: Backup) -> None:
    with pytest.raises(RefusedError, match="alice/policy1 is not marked as frozen"):
        asking.thaw_now(backup.policy, by="bob")
    assert not Run.objects.exists()


def test_a_repeated_after_is_run_at_once(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thaw, "RETRY_SECONDS", (3600,))
    backup.scripts(after="[ -e thawed ]")
    run = backup.window()
    thawer = abandoned.Thawer(home.spool(), home.runtime())
    assert (run.state, thawer.turn()) == (State.THAWING, 1)
    assert backup.marks == ["before", "after 1"]
    (backup.folder / "thawed").touch()

    said = operations.only(operations.thaw_now([backup.policy], by=operations.COMMAND_LINE))

    assert said.done == f"after of run {run.pk} is run again now"
    asking.pass_on()
    thawer.turn()
    until(thawer.reap)
    backup.thaw(run)
    assert backup.marks == ["before", "after 1", "after 1"]
    assert run.state == State.WAITING
    assert "the command line asked for after to be run now" in story(run)
    assert not asking.take(home.runtime(), str(run.pk))


def test_whoever_asks_a_moment_after_the_thaw_is_told_that_it_is_thawed(backup: Backup) -> None:
    backup.scripts()
    run = backup.window()
    assert run.state == State.WAITING
    said = operations.only(operations.thaw_now([backup.policy], by=operations.COMMAND_LINE))
    assert said.done == f"alice/policy1 is thawed already: after of run {run.pk} has ended"
    assert backup.marks == ["before", "after 1"]
    assert Run.objects.count() == 1


def test_what_was_given_up_is_thawed_by_a_run_of_after_alone(backup: Backup) -> None:
    backup.scripts()
    Policy.objects.update(may_be_frozen_since=clock.now())
    backup.policy.refresh_from_db()

    asking.thaw_now(backup.policy, by="bob")

    run = Run.objects.get()
    assert (run.trigger, run.test_phase, run.test_argument) == ("test", "after", "0")
    backup.window(run)
    assert backup.marks == ["after 0"]
    backup.policy.refresh_from_db()
    assert backup.policy.may_be_frozen_since is None


def test_an_open_window_is_left_to_its_guard(backup: Backup) -> None:
    run = backup.start()
    Run.objects.update(state=State.FROZEN)
    with pytest.raises(RefusedError, match="is open: it is thawed by itself"):
        asking.thaw_now(backup.policy, by="bob")
    assert not asking.take(home.runtime(), str(run.pk))
