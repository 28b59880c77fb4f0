"""Versions: what is kept of a file's changes, whoever makes them and however."""

import os
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from n2wbackup.lib import clock
from scripts_admin import linux_accounts
from scripts_admin.domain.texts import Kind
from scripts_admin.folders import reading, storage
from scripts_admin.models import Folder, ScriptApproval, ScriptText, ScriptVersion
from scripts_admin.services import approvals, folders, versions
from tests import factories

pytestmark = pytest.mark.django_db
KEY = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{'b3BlbnNzaC1r' * 6}\n-----END OPENSSH PRIVATE KEY-----\n"
NAME = "before_p.sh"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setattr(settings, "N2W_SCRIPTS_ROOT", tmp_path / "scripts")
    made = folders.of(factories.alice())
    storage.create(made)
    return made


def put(folder: Folder, text: str | bytes, name: str = NAME) -> Path:
    path = storage.path(folder) / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o750)
    return path


def save(folder: Folder, text: bytes | None, name: str = NAME) -> ScriptVersion:
    return versions.keep(folder, name, text, author=factories.alice(), source="page")


def test_a_change_is_kept_with_author_time_and_message(folder: Folder) -> None:
    save(folder, b"one\n")
    made = versions.keep(
        folder, NAME, b"two\n", author=factories.bob(), source="page", message="quicker"
    )

    found = versions.history(folder, NAME)
    assert [versions.content(each) for each in found] == [b"two\n", b"one\n"]
    assert (made.author_name, made.message, made.source) == ("bob", "quicker", "page")
    assert [each.is_newest for each in found] == [True, False]


def test_the_same_text_is_no_new_version_and_is_stored_once(folder: Folder) -> None:
    first = save(folder, b"one\n")

    assert save(folder, b"one\n") == first
    save(folder, b"two\n")
    save(folder, b"one\n")
    save(folder, b"one\n", "after_p.sh")

    assert ScriptVersion.objects.count() == 4
    assert ScriptText.objects.count() == 2


def test_a_version_outlives_its_author_by_name(folder: Folder) -> None:
    bob = factories.bob()
    versions.keep(folder, NAME, b"one\n", author=bob, source="page")
    type(bob).objects.filter(pk=bob.pk).delete()

    found = versions.history(folder, NAME)[0]
    assert (found.author, found.author_name) == (None, "bob")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (KEY.encode(), Kind.KEY),
        (b"\x7fELF\0\0", Kind.BINARY),
        (b"#" * 1024 * 1025, Kind.TEXT),
    ],
)
def test_of_a_key_and_of_what_is_no_text_only_name_size_and_hash_are_kept(
    folder: Folder, content: bytes, kind: Kind
) -> None:
    put(folder, content)

    (made,) = versions.look(folder)
    again = save(folder, content)

    assert again == made
    assert (made.kind, made.size, len(made.sha256)) == (kind, len(content), 64)
    assert made.text is None
    assert versions.content(made) is None
    assert not ScriptText.objects.exists()


def test_a_change_over_ssh_is_found_by_hash_as_its_owners(folder: Folder) -> None:
    save(folder, b"one\n")
    path = put(folder, b"one\n")
    assert versions.look(folder) == []

    path.write_bytes(b"two\n")
    (made,) = versions.look(folder)

    assert (made.source, versions.content(made)) == ("ssh", b"two\n")
    assert made.author_name == path.owner()
    assert made.mode == 0o750
    assert versions.look(folder) == []


def test_a_file_that_belongs_to_a_users_account_is_their_change(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = factories.alice()
    monkeypatch.setattr(linux_accounts, "name_of", lambda _: "alice")
    put(folder, b"one\n")

    (made,) = versions.look(folder)

    assert (made.author, made.author_name) == (alice, "alice")


def test_a_change_that_keeps_size_and_time_of_the_text_is_found(folder: Folder) -> None:
    path = put(folder, b"one\n")
    versions.look(folder)
    times = path.stat()

    path.write_bytes(b"two\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    assert [versions.content(each) for each in versions.look(folder)] == [b"two\n"]


def test_a_file_that_was_deleted_over_ssh_is_kept_as_deleted(folder: Folder) -> None:
    path = put(folder, b"one\n")
    versions.look(folder)
    path.unlink()

    (made,) = versions.look(folder)

    assert (made.is_deleted, made.sha256, made.source) == (True, "", "ssh")
    assert versions.look(folder) == []
    path.write_bytes(b"one\n")
    assert [each.is_deleted for each in versions.look(folder)] == [False]


def test_a_folder_that_is_away_is_not_an_empty_one(folder: Folder) -> None:
    put(folder, b"one\n")
    versions.look(folder)
    place = storage.path(folder)
    place.rename(place.with_name("away"))

    assert versions.look(folder) == []
    assert not ScriptVersion.objects.filter(is_deleted=True).exists()


def test_what_is_no_script_has_no_versions_and_costs_nothing(
    folder: Folder, tmp_path: Path
) -> None:
    place = storage.path(folder)
    (tmp_path / "outside").write_text("secret")
    (place / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(place / "pipe")
    (place / "below").mkdir()
    (place / ".hidden").write_text("x")
    (place / "old.bak").write_text("x")
    with (place / "huge").open("wb") as file:
        file.truncate(2 * 1024**3)

    assert versions.look(folder) == []


def test_a_file_that_becomes_a_link_is_not_deleted(folder: Folder, tmp_path: Path) -> None:
    path = put(folder, b"one\n")
    versions.look(folder)
    (tmp_path / "outside").write_text("secret")
    path.unlink()
    path.symlink_to(tmp_path / "outside")

    assert versions.look(folder) == []
    assert not ScriptText.objects.filter(content=b"secret").exists()


def test_scripts_of_phases_come_first_where_there_are_too_many_files(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST_FILES", 2)
    for name in ("a", "b", "c", "complete_p.sh"):
        put(folder, b"x", name)

    assert [each.name for each in versions.look(folder)] == ["complete_p.sh", "a"]
    put(folder, b"y", "after_p.sh")
    assert [each.name for each in versions.look(folder)] == ["after_p.sh"]
    assert not ScriptVersion.objects.filter(is_deleted=True).exists()


def test_a_folder_that_changes_for_ever_does_not_fill_the_database(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "DAY_BYTES", 10)
    kept = [save(folder, text) for text in (b"12345", b"67890", b"abcde", b"12345")]

    assert [versions.content(each) for each in kept] == [b"12345", b"67890", None, b"12345"]
    assert len({each.sha256 for each in kept}) == 3


def test_only_one_version_of_a_file_is_the_newest(folder: Folder) -> None:
    first = save(folder, b"one\n")
    with pytest.raises((IntegrityError, ValidationError)), transaction.atomic():
        ScriptVersion.objects.create(
            folder=folder, name=NAME, sha256="0" * 64, source="page", at=first.at
        )


def test_a_file_that_changes_while_it_is_read_has_no_mark(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(folder, b"one\n")
    monkeypatch.setattr(reading, "_let_the_clock_tick", lambda _: path.write_bytes(b"other\n"))

    assert reading.see(folder, path).mark is None


def test_a_change_right_after_the_reading_leaves_another_mark(folder: Folder) -> None:
    path = put(folder, b"one\n")
    before = reading.see(folder, path).mark
    path.write_bytes(b"two\n")

    assert before is not None
    assert reading.see(folder, path).mark != before


def test_of_a_file_with_a_second_name_only_the_hash_is_kept(folder: Folder, tmp_path: Path) -> None:
    os.link(put(folder, b"somebody else's\n"), tmp_path / "other")

    (made,) = versions.look(folder)

    assert versions.content(made) is None
    (tmp_path / "other").unlink()
    again = versions.keep_seen(folder, reading.see(folder, storage.path(folder) / NAME))
    assert again == made
    assert versions.content(again) == b"somebody else's\n"


def test_who_has_just_written_a_file_is_its_author_though_a_look_was_faster(folder: Folder) -> None:
    put(folder, b"one\n")
    versions.look(folder)

    versions.keep(folder, NAME, b"one\n", author=factories.bob(), source="page", message="mine")

    (found,) = versions.history(folder, NAME)
    assert (found.author_name, found.source, found.message) == ("bob", "page", "mine")


def test_old_versions_go_with_their_texts_and_the_newest_and_the_approved_stay(
    folder: Folder,
) -> None:
    kept = [save(folder, text) for text in (b"one\n", b"two\n", b"three\n", b"four\n")]
    save(folder, b"one\n", "other.sh")
    ScriptApproval.objects.create(
        folder=folder, name=NAME, version=kept[1], person_name="bob", at=kept[1].at
    )
    nothing = ScriptVersion.objects.none()

    assert versions.forget(kept[0].at, nothing) == 0
    assert versions.forget(clock.now(), nothing) == 2
    assert [versions.content(each) for each in versions.history(folder, NAME)] == [
        b"four\n",
        b"two\n",
    ]
    assert {bytes(each.content) for each in ScriptText.objects.all()} == {
        b"one\n",
        b"two\n",
        b"four\n",
    }


def test_a_folder_that_fails_does_not_keep_the_others_from_their_look(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, b"one\n")
    other = folders.of(factories.charlie())
    storage.create(other)
    (storage.path(other) / NAME).write_bytes(b"two\n")
    real = versions.look
    monkeypatch.setattr(versions, "look", lambda it: 1 / 0 if it == folder else real(it))

    approvals.tick()

    assert set(ScriptVersion.objects.values_list("folder__name", flat=True)) == {"charlie"}
