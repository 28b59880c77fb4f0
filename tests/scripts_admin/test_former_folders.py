"""Identity is not a name: what a deleted user left belongs to nobody who gets the name later."""

import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from pytest_django import Settings

from scripts_admin import linux_accounts
from scripts_admin.folders import storage
from scripts_admin.linux_accounts import AccountError
from scripts_admin.models import Folder, FormerFolder, User
from scripts_admin.services import folders, users

Capture = Callable[..., Any]
GROUP = 65534

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def root(tmp_path: Path, settings: Settings) -> Path:
    settings.N2W_SCRIPTS_ROOT = tmp_path / "scripts"
    return tmp_path / "scripts"


def create(name: str = "alice", **values: Any) -> Path:
    users.save(User(username=name, password="x", **values))
    return storage.path(Folder.objects.get(name=name))


def leave_files(place: Path) -> None:
    (place / "before_p.sh").write_text("#!/bin/bash\n")
    (place / "id_ed25519").write_text("a private key")


def mode(place: Path) -> int:
    return stat.S_IMODE(place.stat().st_mode)


def test_a_user_of_a_deleted_users_name_inherits_neither_scripts_nor_keys(
    root: Path, django_capture_on_commit_callbacks: Capture
) -> None:
    place = create()
    leave_files(place)

    with django_capture_on_commit_callbacks(execute=True):
        users.delete(User.objects.get(username="alice"))

    assert not place.exists()
    assert list(create().iterdir()) == []
    former = FormerFolder.objects.get()
    assert (former.name, former.is_set_aside) == ("alice", True)
    kept = Path(former.place)
    assert kept.parent == root / storage.FORMER
    assert mode(kept.parent) == 0o700
    assert (kept / "id_ed25519").read_text() == "a private key"


def test_a_server_that_died_before_it_set_the_files_aside_does_so_at_the_new_creation() -> None:
    place = create()
    leave_files(place)
    users.delete(User.objects.get(username="alice"))  # what follows the commit never came
    assert (place / "id_ed25519").exists()

    assert list(create().iterdir()) == []
    assert FormerFolder.objects.get().is_set_aside


def test_a_folder_row_made_without_its_folder_is_cleared_at_its_first_use() -> None:
    place = create()
    leave_files(place)
    users.delete(User.objects.get(username="alice"))
    again = User.objects.create(username="alice")

    folders.ready(folders.of(again), None)

    assert not place.exists()


def test_files_are_set_aside_once_and_a_late_clearing_spares_the_new_folder(
    django_capture_on_commit_callbacks: Capture,
) -> None:
    place = create()
    with django_capture_on_commit_callbacks() as late:
        users.delete(User.objects.get(username="alice"))
    create()
    leave_files(place)

    for callback in late:
        callback()

    assert (place / "id_ed25519").exists()


def test_files_that_cannot_be_set_aside_keep_the_name_from_being_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def busy(_: object) -> None:
        raise OSError(16, "Device or resource busy")

    place = create()
    leave_files(place)
    users.delete(User.objects.get(username="alice"))
    monkeypatch.setattr(storage, "set_aside", busy)

    with pytest.raises(ValidationError, match="Device or resource busy"):
        create()

    assert not User.objects.filter(username="alice").exists()
    assert (place / "id_ed25519").exists()


def test_a_folder_that_an_administrator_prepared_is_taken(root: Path) -> None:
    (root / "alice").mkdir(parents=True)
    leave_files(root / "alice")

    assert sorted(path.name for path in create().iterdir()) == ["before_p.sh", "id_ed25519"]


def test_asking_whether_a_user_can_be_deleted_moves_nothing(
    django_capture_on_commit_callbacks: Capture,
) -> None:
    place = create()
    with django_capture_on_commit_callbacks(execute=True):
        assert users.why_not_deleted(User.objects.get(username="alice")) == ""

    assert place.is_dir()
    assert not FormerFolder.objects.exists()


def test_the_linux_account_of_a_deleted_user_runs_no_script_of_the_next(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    mine = pwd.getpwuid(os.geteuid())
    accounts = {"alice": 4711}

    def named(name: str) -> pwd.struct_passwd:
        return pwd.struct_passwd((name, "x", accounts[name], mine.pw_gid, "", "/home/alice", ""))

    monkeypatch.setattr(pwd, "getpwnam", named)
    settings.N2W_RUN_SCRIPTS_AS = "owner"
    first = folders.of(User.objects.create(username="alice"))
    assert linux_accounts.script_account(first).identity.uid == 4711
    users.delete(User.objects.get(username="alice"))
    second = folders.of(User.objects.create(username="alice"))

    with pytest.raises(AccountError, match=r"\(uid 4711\) was the account of a deleted user"):
        linux_accounts.script_account(second)

    accounts["alice"] = 4712  # the administrator made the account anew
    assert linux_accounts.script_account(second).identity.uid == 4712
    accounts["alice"] = 117  # a package made it; it would have been refused as a user's name
    with pytest.raises(AccountError, match=r"\(uid 117\) is a system account"):
        linux_accounts.script_account(second)
    accounts["alice"] = 4711
    FormerFolder.objects.all().delete()
    assert linux_accounts.script_account(second).identity.uid == 4711


@pytest.mark.parametrize("before", [0o755, 0o777, 0o700, 0o2770, 0o3777])
def test_an_existing_folder_gets_its_mode_and_group_at_each_use(before: int) -> None:
    place = create()
    folder = Folder.objects.get(name="alice")
    for group in (None, GROUP) if os.geteuid() == 0 else (None,):
        place.chmod(before)

        folders.ready(folder, group)

        assert mode(place) == (0o700 if group is None else 0o2770)
        assert group is None or place.stat().st_gid == group


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another group")
def test_a_folder_that_an_administrator_closed_to_the_scripts_own_writing_stays_so() -> None:
    place = create()
    os.chown(place, -1, 1)
    place.chmod(0o2750)

    folders.ready(Folder.objects.get(name="alice"), GROUP)

    assert (mode(place), place.stat().st_gid) == (0o2750, GROUP)


def test_roots_folder_stays_passable_and_is_closed_to_listing_and_writing(root: Path) -> None:
    root.mkdir()
    for before, after in ((0o700, 0o711), (0o777, 0o771), (0o755, 0o751)):
        root.chmod(before)
        folders.ready(folders.root(), GROUP)
        assert mode(root) == after


def test_a_folder_that_cannot_be_closed_is_refused_only_while_everyone_may_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    place = create()
    folder = Folder.objects.get(name="alice")
    monkeypatch.setattr(os, "fchmod", denied)
    place.chmod(0o755)
    folders.ready(folder, None)
    place.chmod(0o777)
    with pytest.raises(PermissionError):
        folders.ready(folder, None)


def test_only_superusers_see_what_deleted_users_left_and_forget_it_once_it_is_set_aside(
    client: Client,
) -> None:
    create()
    users.delete(User.objects.get(username="alice"))
    former = FormerFolder.objects.get()
    address = "/admin/scripts_admin/formerfolder/"
    staff = User.objects.create(username="staff", is_staff=True)
    boss = User.objects.create(username="boss", is_staff=True, is_superuser=True)

    client.force_login(staff)
    assert client.get(address).status_code == 403
    assert client.post(f"{address}{former.pk}/delete/", {"post": "yes"}).status_code == 403
    client.force_login(boss)
    assert "alice" in client.get(address).content.decode()
    assert client.post(f"{address}{former.pk}/delete/", {"post": "yes"}).status_code == 403
    assert FormerFolder.objects.exists()
    FormerFolder.objects.update(is_set_aside=True)
    assert client.post(f"{address}{former.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not FormerFolder.objects.exists()
