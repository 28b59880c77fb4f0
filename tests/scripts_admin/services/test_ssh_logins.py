"""The list that sshd asks follows the rows of users, however they change."""

import logging
import os
from pathlib import Path

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from n2wbackup.lib import home
from scripts_admin.domain import linux_register
from scripts_admin.domain.linux_register import Kind, Ours
from scripts_admin.domain.places import Places
from scripts_admin.folders.provisioning import machine
from scripts_admin.models import User
from scripts_admin.services import people, ssh_logins, users
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def provisioned(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.N2W_HOME, settings.N2W_SCRIPTS_ROOT = tmp_path, tmp_path / "scripts"
    settings.N2W_LINUX_PLACES = Places(str(tmp_path))
    accounts = linux_register.parsed("somebody uid=5000 gid=5000 kind=tenant state=open")
    monkeypatch.setattr(machine, "register", lambda _=None: accounts)


def listed() -> list[str]:
    return home.ssh_logins().read_text().split()


def test_whoever_is_deactivated_deleted_or_made_a_superuser_is_off_the_list_at_once(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    boss = UserFactory.create(username="boss", is_superuser=True)
    alice, bob, carol = (UserFactory.create(username=name) for name in ("alice", "bob", "carol"))
    with django_capture_on_commit_callbacks(execute=True):
        users.save(User(username="dora"))
    assert listed() == ["alice", "bob", "carol", "dora"]

    with django_capture_on_commit_callbacks(execute=True):
        people.deactivate(alice, boss)
    assert listed() == ["bob", "carol", "dora"]
    with django_capture_on_commit_callbacks(execute=True):
        users.delete(bob)
    assert listed() == ["carol", "dora"]
    with django_capture_on_commit_callbacks(execute=True):
        people.set_rights(carol, boss, staff=True, superuser=True)
    assert listed() == ["dora"]
    with django_capture_on_commit_callbacks(execute=True):
        people.reactivate(alice, boss)
    assert listed() == ["alice", "dora"]


def test_rows_that_something_else_changed_are_followed_and_the_list_is_written_only_then() -> None:
    UserFactory.create(username="alice")
    UserFactory.create(username="bob")
    ssh_logins.follow()
    assert listed() == ["alice", "bob"]
    number = home.ssh_logins().stat().st_ino
    assert home.ssh_logins().stat().st_mode & 0o777 == 0o644

    ssh_logins.follow()
    assert home.ssh_logins().stat().st_ino == number

    User.objects.filter(username="alice").update(is_active=False)
    ssh_logins.follow()
    assert listed() == ["bob"]
    assert [each.name for each in home.ssh_logins().parent.iterdir()] == ["ssh-logins"]


def test_without_accounts_there_is_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Ours("n2wbackup", 500, 500, Kind.SERVER)
    monkeypatch.setattr(machine, "register", lambda _=None: {server.name: server})

    ssh_logins.follow()

    assert not home.ssh_logins().exists()


def test_a_list_that_cannot_be_written_stops_no_deactivation(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    caplog: pytest.LogCaptureFixture,
) -> None:
    alice = UserFactory.create(username="alice")
    os.mkdir(home.ssh_logins())  # noqa: PTH102 - in its place

    with caplog.at_level(logging.ERROR), django_capture_on_commit_callbacks(execute=True):
        people.deactivate(alice, UserFactory.create(is_superuser=True))

    assert not User.objects.get(username="alice").is_active
    assert "who may log in over SSH could not be written down" in caplog.text
