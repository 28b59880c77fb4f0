"""A person who wants a thaw now does not wait for the next attempt's time."""

import pytest

from n2wbackup.lib import clock
from policies.domain.errors import RefusedError
from policies.domain.runs.sequence import State
from policies.models import Policy, Run
from policies.services import operations
from policies.services.watch import hurrying
from scripts_admin.guard import thaw
from tests import factories
from tests.policies.services.backup import Backup

pytestmark = pytest.mark.django_db


@pytest.fixture
def thawing(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose after has failed; the next attempt is half an hour away."""
    monkeypatch.setattr(thaw, "RETRY_SECONDS", (1800,))
    backup.scripts(after="[ -e ok ]")
    run = backup.window()
    assert run.state == State.THAWING
    (backup.folder / "ok").touch()
    return run


def test_the_next_attempt_starts_at_once(backup: Backup, thawing: Run) -> None:
    assert backup.thaw(thawing).state == State.THAWING  # its time has not come

    by = operations.person(backup.policy.owner)
    result = operations.only(operations.thaw_now([backup.policy], by=by))

    assert result.sentence == "alice/policy1: the next attempt of after starts at once."
    assert backup.thaw(thawing).state == State.WAITING
    assert backup.marks == ["before", "after 1", "after 1"]
    assert thawing.events.filter(text__startswith="alice asked for the next attempt").exists()


def test_one_wish_is_one_attempt(backup: Backup, thawing: Run) -> None:
    (backup.folder / "ok").unlink()
    hurrying.thaw_now(backup.policy, by="alice")
    assert backup.thaw(thawing).state == State.THAWING

    backup.thaw(thawing)

    assert backup.marks == ["before", "after 1", "after 1"]


def test_another_servers_run_is_refused_with_its_name(backup: Backup, thawing: Run) -> None:
    Run.objects.update(server="another")

    with pytest.raises(RefusedError, match="Only server another"):
        hurrying.thaw_now(backup.policy, by="alice")


def test_nothing_frozen_is_refused(backup: Backup) -> None:
    with pytest.raises(RefusedError, match="nothing to thaw"):
        hurrying.thaw_now(backup.policy, by="alice")


def test_a_window_that_is_open_closes_by_itself(backup: Backup) -> None:
    factories.RunFactory.create(policy=backup.policy, state=State.FROZEN)

    with pytest.raises(RefusedError, match="closes by itself within 60 s"):
        hurrying.thaw_now(backup.policy, by="alice")


def test_after_alone_thaws_what_was_given_up(backup: Backup) -> None:
    backup.scripts()
    Policy.objects.update(may_be_frozen_since=clock.now())
    backup.policy.refresh_from_db()

    run = hurrying.thaw_now(backup.policy, by="alice")

    assert run is not None
    backup.window(run)
    backup.policy.refresh_from_db()
    assert backup.marks == ["after 0"]
    assert backup.policy.may_be_frozen_since is None


def test_a_stranger_may_not(backup: Backup, thawing: Run) -> None:
    by = operations.person(factories.charlie())

    (result,) = operations.thaw_now([backup.policy], by=by)

    assert "not allowed" in result.refusal
