"""A script folder holds so much and no more: the pages refuse, and what came over SSH is counted and told."""

from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from scripts_admin.domain import texts
from scripts_admin.folders import looking, room, storage
from scripts_admin.folders.looking import FileError
from scripts_admin.models import AuditEntry, Folder, User
from scripts_admin.services import folders, scripts
from scripts_admin.services.scripts import Text
from tests import factories
from tests.ground import trees

pytestmark = pytest.mark.django_db
TEXT = b"#!/bin/bash\ntrue\n"
LARGE = TEXT + b"#" * 600_000


@pytest.fixture(autouse=True)
def small(settings: Settings, tmp_path: Path) -> None:
    settings.N2W_SCRIPTS_ROOT = tmp_path / "scripts"
    settings.N2W_FOLDER_FILES, settings.N2W_FOLDER_MIB = 3, 1


@pytest.fixture
def alice() -> User:
    return factories.alice()


@pytest.fixture
def folder(alice: User) -> Folder:
    found = folders.of(alice)
    folders.on_disk(found)
    return found


def names(folder: Folder) -> list[str]:
    return sorted(each.name for each in storage.path(folder).iterdir())


def save(folder: Folder, name: str, content: bytes = TEXT, opened: bytes = b"") -> None:
    version = texts.digest(opened) if opened else ""
    scripts.save(folder, Text(name, content, version), actor=folder.owner or User())


def test_no_more_files_are_saved_than_may_be_and_nothing_changes(folder: Folder) -> None:
    for name in ("a.sh", "b.sh"):
        save(folder, name)
    entered = AuditEntry.objects.count()

    # One too many, however it comes.
    with pytest.raises(
        FileError, match=r"there is no room.* may hold 3 files and 1 MiB, and holds 2"
    ):
        scripts.save_all(folder, {"c.sh": TEXT, "d.sh": TEXT}, actor=folder.owner or User())
    save(folder, "c.sh")
    with pytest.raises(FileError, match=r"d\.sh: there is no room"):
        save(folder, "d.sh")
    with pytest.raises(FileError, match=r"e\.sh: there is no room"):
        scripts.upload(folder, "e.sh", TEXT, replace=False, actor=folder.owner or User())

    assert names(folder) == ["a.sh", "b.sh", "c.sh"]
    assert AuditEntry.objects.count() == entered + 1
    # What does not grow is saved.
    save(folder, "a.sh", TEXT.replace(b"true", b"date"), opened=TEXT)


def test_no_more_bytes_are_saved_and_a_file_may_always_shrink(folder: Folder) -> None:
    save(folder, "a.sh", LARGE)
    with pytest.raises(FileError, match=r"b\.sh: there is no room.* holds 1 files with 0\.6 MiB"):
        save(folder, "b.sh", LARGE)

    (storage.path(folder) / "over-ssh").write_bytes(b"#" * 2_000_000)
    with pytest.raises(FileError, match=r"there is no room"):
        save(folder, "a.sh", LARGE + b"#", opened=LARGE)
    save(folder, "a.sh", TEXT, opened=LARGE)


def test_deleted_files_make_room_and_others_do_not(folder: Folder) -> None:
    for name in ("a.sh", "b.sh", "c.sh"):
        save(folder, name)
        scripts.delete(folder, name, opened=texts.digest(TEXT), actor=folder.owner or User())

    for name in ("d.sh", "e.sh", "f.sh"):
        save(folder, name)

    assert names(folder) == ["d.sh", "e.sh", "f.sh"]


def test_what_was_deleted_stays_where_it_would_not_make_enough_room(folder: Folder) -> None:
    for name in ("a.sh", "b.sh", "c.sh"):
        save(folder, name)
    hidden = scripts.delete(folder, "c.sh", opened=texts.digest(TEXT), actor=folder.owner or User())

    with pytest.raises(FileError, match=r"there is no room"):
        scripts.save_all(folder, {"d.sh": TEXT, "e.sh": TEXT}, actor=folder.owner or User())

    assert names(folder) == sorted(["a.sh", "b.sh", hidden])


def test_subfolders_count_links_lead_nowhere_and_users_folders_are_not_roots(
    folder: Folder, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "large").write_bytes(b"#" * 3_000_000)
    place = storage.path(folder)
    (place / "sub").mkdir()
    (place / "sub/file").write_bytes(b"12345")
    (place / "link").symlink_to(elsewhere)

    with looking.opened(folder) as found:
        held = room.held(found, is_root=False)
        assert (held.files, held.is_too_much) == (3, False)
        assert held.size < 100
        assert room.held(found, is_root=True).files == 1


def test_folders_within_folders_without_end_take_nothing_from_anybody_else(
    client: Client, alice: User, folder: Folder, settings: Settings
) -> None:
    settings.N2W_FOLDER_FILES = 10_000
    with trees.deep(storage.path(folder)):
        with looking.opened(folder) as place:
            held = room.held(place, is_root=False)
        assert held.is_deep
        assert held.files <= room.MOST_LEVELS + 1

        client.force_login(alice)
        page = " ".join(client.get("/scripts/alice/").content.decode().split())
        assert "more than 30 deep" in page
        with pytest.raises(FileError, match="holds folders within folders more than 30 deep"):
            save(folder, "a.sh")

    save(folder, "a.sh")


def test_the_page_tells_how_full_the_folder_is(client: Client, alice: User, folder: Folder) -> None:
    client.force_login(alice)
    save(folder, "a.sh")
    page = " ".join(client.get("/scripts/alice/").content.decode().split())
    assert "It holds 1 of 3 files and 17 bytes of 1.0 MB." in page.replace("\xa0", " ")

    for number in range(4):
        (storage.path(folder) / f"over-ssh-{number}").touch()

    page = " ".join(client.get("/scripts/alice/").content.decode().split())
    assert "This folder holds more than it may (3 files" in page
