"""`provision_user` says what it cannot do together, and whose scripts are at work."""

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from n2wbackup.lib import trouble
from policies.domain.runs.sequence import State
from policies.selectors import windows
from tests.factories import PolicyFactory, RunFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Name one user, or say --all"),
        (["alice", "--all"], "Name one user, or say --all"),
        (["--all", "--remove"], "are for one user"),
        (["--all", "--ssh-key", "x"], "are for one user"),
        (["alice", "--remove", "--ssh-key", "x"], "choose one of them"),
        (["root"], "belongs to the system or is reserved"),
        (["nobody-has-it"], "There is no user nobody-has-it"),
    ],
)
def test_what_does_not_fit_is_refused_with_one_sentence(arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("provision_user", *arguments, "--dry-run")


def test_a_dry_run_prints_commands(capsys: pytest.CaptureFixture[str]) -> None:
    UserFactory.create(username="n2wt-nobody-has-it")

    call_command("provision_user", "n2wt-nobody-has-it", "--dry-run")

    assert "useradd --uid" in capsys.readouterr().out


def test_without_a_database_what_all_accounts_need_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    UserFactory.create(username="n2wt-nobody-has-it")
    monkeypatch.setattr(trouble, "unapplied_migrations", lambda _: ["policies.0001_initial"])

    call_command("provision_user", "--all", "--dry-run")

    said = capsys.readouterr().out
    assert "kind=server state=open" in said
    assert "n2wt-nobody-has-it" not in said
    assert "There is no database yet" in said


@pytest.mark.parametrize(
    ("mode", "state", "busy"),
    [
        ("owner", State.FROZEN, True),
        ("owner", State.THAWING, True),
        ("owner", State.COMPLETING, True),
        ("owner", State.QUEUED, False),
        ("cpmuser", State.FROZEN, False),
    ],
)
def test_scripts_at_work_as_their_owner_are_named(
    mode: str, state: State, busy: bool, settings: Settings
) -> None:
    settings.N2W_RUN_SCRIPTS_AS = mode
    policy = PolicyFactory.create(owner=UserFactory.create(username="alice"), name="shop")
    RunFactory.create(policy=policy, state=state)

    said = windows.open_scripts("alice")

    assert said.startswith("Scripts of alice/shop are at work in the run ") == busy
    assert bool(said) == busy
    assert windows.open_scripts("bob") == ""
