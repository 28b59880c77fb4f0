"""What people do with files: whole, refused in one sentence, and entered with who did it."""

import os
from pathlib import Path

import pytest
from pytest_django import Settings

from scripts_admin.domain import texts
from scripts_admin.folders import storage
from scripts_admin.folders.looking import ChangedError, FileError
from scripts_admin.models import AuditEntry, Folder, ScriptVersion, User
from scripts_admin.services import folders, scripts
from scripts_admin.services.scripts import Copy, Text
from tests import factories

pytestmark = pytest.mark.django_db
TEXT = b"#!/bin/bash\ntrue\n"
VERSION = texts.digest(TEXT)
KEY = b"-" * 5 + b"BEGIN OPENSSH PRIVATE KEY" + b"-" * 5 + b"\n" + b"A" * 64 + b"\n"


@pytest.fixture(autouse=True)
def root(settings: Settings, tmp_path: Path) -> Path:
    settings.N2W_SCRIPTS_ROOT = tmp_path / "scripts"
    return tmp_path / "scripts"


@pytest.fixture
def alice() -> User:
    return factories.alice()


@pytest.fixture
def folder(alice: User) -> Folder:
    return folders.of(alice)


def left(folder: Folder) -> list[str]:
    return sorted(os.listdir(storage.path(folder)))  # noqa: PTH208 - names only


def entered() -> list[tuple[str, str, str]]:
    rows = AuditEntry.objects.filter(kind="script").order_by("pk")
    return [(row.name, row.action, row.label) for row in rows]


def test_each_deed_is_entered_for_the_folders_owner(folder: Folder, alice: User) -> None:
    bob = factories.UserFactory.create(username="bob")

    scripts.save(folder, Text("before_p.sh", TEXT), actor=alice)
    scripts.save(folder, Text("before_p.sh", TEXT + b"#\n", VERSION), actor=bob)
    later = texts.digest(TEXT + b"#\n")
    scripts.rename(folder, "before_p.sh", "before_q.sh", opened=later, actor=alice)
    hidden = scripts.delete(folder, "before_q.sh", opened=later, actor=alice)
    scripts.undelete(folder, hidden, actor=bob)

    assert entered() == [
        ("alice", "created", "alice/before_p.sh"),
        ("bob", "changed", "alice/before_p.sh"),
        ("alice", "renamed", "alice/before_q.sh"),
        ("alice", "deleted", "alice/before_q.sh"),
        ("bob", "brought back", "alice/before_q.sh"),
    ]
    kept = ScriptVersion.objects.order_by("pk")
    assert [(row.name, row.author_name, row.is_deleted) for row in kept] == [
        ("before_p.sh", "alice", False),
        ("before_p.sh", "bob", False),
        ("before_q.sh", "alice", False),
        ("before_p.sh", "alice", True),
        ("before_q.sh", "alice", True),
        ("before_q.sh", "bob", False),
    ]
    assert {row.source for row in kept} == {"page"}
    assert {row.owner_id for row in AuditEntry.objects.filter(kind="script")} == {alice.pk}
    assert left(folder) == ["before_q.sh"]


@pytest.mark.parametrize("name", ["../x", ".hidden", "-rf", "a\nb", "x" * 300, ""])
def test_a_name_that_would_hurt_somebody_gets_no_file(
    folder: Folder, alice: User, root: Path, name: str
) -> None:
    if name:
        with pytest.raises(FileError, match="Nothing was saved"):
            scripts.save(folder, Text(name, TEXT), actor=alice)
    scripts.save(folder, Text("a.sh", TEXT), actor=alice)
    with pytest.raises(FileError):
        scripts.rename(folder, "a.sh", name, opened=VERSION, actor=alice)

    assert left(folder) == ["a.sh"]
    assert sorted(os.listdir(root)) == ["alice"]  # noqa: PTH208 - names only


def test_a_private_key_is_refused_and_one_that_is_too_large_too(
    folder: Folder, alice: User
) -> None:
    with pytest.raises(FileError, match="holds a private key"):
        scripts.save(folder, Text("key.pem", KEY), actor=alice)
    with pytest.raises(FileError, match="may have 1 MiB"):
        scripts.save(folder, Text("a", b"a" * (texts.MAX_BYTES + 1)), actor=alice)
    with pytest.raises(FileError, match="holds a private key"):
        scripts.upload(folder, "key.pem", KEY, replace=True, actor=alice)

    assert not storage.path(folder).exists()
    assert entered() == []


def test_a_set_of_files_is_made_whole_or_not_at_all(folder: Folder, alice: User) -> None:
    scripts.save(folder, Text("after_p.sh", TEXT), actor=alice)
    wanted = {"before_p.sh": TEXT, "after_p.sh": b"other", "p.conf": b"a=1\n"}

    with pytest.raises(FileError, match=r"after_p.sh: there already"):
        scripts.save_all(folder, wanted, actor=alice)
    assert left(folder) == ["after_p.sh"]

    scripts.save_all(folder, {"before_p.sh": TEXT, "p.conf": b"a=1\n"}, actor=alice)
    assert left(folder) == ["after_p.sh", "before_p.sh", "p.conf"]


def test_a_set_that_fails_half_way_leaves_nothing(
    folder: Folder, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = os.fsync, []

    def full(opened: int) -> None:
        written.append(opened)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        real(opened)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match="full"):
        scripts.save_all(folder, {"a": b"1", "b": b"2"}, actor=alice)

    assert left(folder) == []
    assert entered() == []


def test_a_copy_is_a_file_of_its_own_that_can_run(folder: Folder, alice: User) -> None:
    scripts.save(folder, Text("before_p.sh", TEXT), actor=alice)

    scripts.copy(folder, Copy("before_p.sh", VERSION, folder, "before_q.sh"), actor=alice)
    with pytest.raises(ChangedError, match="already"):
        scripts.copy(folder, Copy("before_p.sh", VERSION, folder, "before_q.sh"), actor=alice)
    with pytest.raises(ChangedError, match="has changed"):
        scripts.copy(folder, Copy("before_p.sh", "older", folder, "before_r.sh"), actor=alice)

    made = storage.path(folder) / "before_q.sh"
    assert made.read_bytes() == TEXT
    assert made.stat().st_mode & 0o100
    assert left(folder) == ["before_p.sh", "before_q.sh"]


def test_an_upload_replaces_a_file_only_when_it_may(folder: Folder, alice: User) -> None:
    scripts.upload(folder, "tool", b"\x7fELF\0\1", replace=False, actor=alice)
    assert (storage.path(folder) / "tool").stat().st_mode & 0o100

    with pytest.raises(FileError, match="There is a file tool already"):
        scripts.upload(folder, "tool", b"\x7fELF\0\2", replace=False, actor=alice)
    scripts.upload(folder, "tool", b"\x7fELF\0\3", replace=True, actor=alice)
    scripts.upload(folder, "a.sh", TEXT, replace=True, actor=alice)
    scripts.upload(folder, "a.sh", b"#!/bin/sh\n", replace=True, actor=alice)

    assert (storage.path(folder) / "tool").read_bytes() == b"\x7fELF\0\3"
    assert (storage.path(folder) / "a.sh").read_bytes() == b"#!/bin/sh\n"
    assert [name for name in left(folder) if not name.startswith(".deleted-")] == ["a.sh", "tool"]


def test_a_renamed_policy_takes_its_scripts_along_or_neither_changes(
    folder: Folder, alice: User
) -> None:
    scripts.save_all(folder, {"before_p.sh": TEXT, "after_p.v1.sh": TEXT}, actor=alice)

    with pytest.raises(RuntimeError), scripts.renamed_with_policy(folder, "p", "q", actor=alice):
        raise RuntimeError
    assert left(folder) == ["after_p.v1.sh", "before_p.sh"]

    with scripts.renamed_with_policy(folder, "p", "q", actor=alice) as count:
        assert count == 2
    assert left(folder) == ["after_q.v1.sh", "before_q.sh"]
    assert [label for _, action, label in entered() if action == "renamed"] == [
        "alice/before_q.sh",
        "alice/after_q.v1.sh",
    ]
