"""Files get other names, are set aside, and come back: nothing is replaced, nothing is followed."""

import os
import stat
import uuid
from pathlib import Path

import pytest

from scripts_admin.folders import looking, storage, writing
from scripts_admin.folders.looking import FileError
from scripts_admin.models import Folder
from tests.scripts_admin.folders.texts import OTHER, TEXT, VERSION, left


def test_a_renamed_file_never_replaces_another(folder: Folder, place: int, script: Path) -> None:
    (storage.path(folder) / "before_q.sh").write_bytes(OTHER)

    with pytest.raises(FileError, match=r"There is a file before_q.sh already"):
        writing.rename(place, "before_p.sh", "before_q.sh", opened=VERSION)
    writing.rename(place, "before_p.sh", "before_r.sh", opened=VERSION)

    assert left(folder) == ["before_q.sh", "before_r.sh"]
    assert (storage.path(folder) / "before_q.sh").read_bytes() == OTHER


def test_a_deleted_file_is_set_aside_and_comes_back(
    folder: Folder, place: int, script: Path
) -> None:
    hidden = writing.set_aside(place, "before_p.sh", 1_764_360_000, opened=VERSION)

    assert left(folder) == [hidden] == [".deleted-1764360000-before_p.sh"]
    assert writing.forget(place, [hidden], before=1_764_360_000) == 0
    assert writing.bring_back(place, hidden) == "before_p.sh"
    assert script.read_bytes() == TEXT
    assert stat.S_IMODE(script.stat().st_mode) == 0o754


def test_what_is_brought_back_replaces_nothing(folder: Folder, place: int, script: Path) -> None:
    hidden = writing.set_aside(place, "before_p.sh", 1_764_360_000, opened=VERSION)
    script.write_bytes(OTHER)

    with pytest.raises(FileError, match=r"There is another before_p.sh by now"):
        writing.bring_back(place, hidden)
    with pytest.raises(FileError, match="was not set aside here"):
        writing.bring_back(place, "before_p.sh")

    assert script.read_bytes() == OTHER
    assert hidden in left(folder)


def test_what_was_set_aside_is_deleted_for_good_later(
    folder: Folder, place: int, script: Path
) -> None:
    hidden = writing.set_aside(place, "before_p.sh", 1_764_360_000, opened=VERSION)

    assert writing.forget(place, [hidden, "other"], before=1_764_360_001) == 1
    assert left(folder) == []


def test_what_a_save_left_that_never_ended_goes_with_it(folder: Folder, place: int) -> None:
    left_behind = storage.path(folder) / f".n2w-{uuid.uuid4()}"
    left_behind.write_bytes(TEXT)
    young = int(left_behind.stat().st_mtime)

    assert writing.forget(place, left(folder), before=young) == 0
    assert writing.forget(place, left(folder), before=young + 1) == 1
    assert left(folder) == []


@pytest.mark.parametrize("kind", ["link", "fifo", "hard"])
def test_what_is_no_file_of_this_folder_can_be_renamed_and_deleted_but_not_followed(
    folder: Folder, place: int, tmp_path: Path, kind: str
) -> None:
    path, outside = storage.path(folder) / "before_p.sh", tmp_path / "outside"
    outside.write_text("theirs")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(outside)
    else:
        path.hardlink_to(outside)
    found = looking.glance(place, "before_p.sh")
    assert found is not None

    writing.rename(place, "before_p.sh", "x", opened=found.version)
    writing.set_aside(place, "x", 1_764_360_000, opened=found.version)

    assert left(folder) == [".deleted-1764360000-x"]
    assert outside.read_text() == "theirs"


@pytest.mark.parametrize("has_links", [True, False])
def test_all_scripts_of_a_policy_get_their_new_names_or_none_does(
    folder: Folder, place: int, script: Path, has_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = storage.path(folder) / "after_p.sh"
    after.write_bytes(OTHER)
    pairs = [("before_p.sh", "before_q.sh"), ("after_p.sh", "after_q.sh")]
    if not has_links:
        monkeypatch.setattr(os, "link", _no_links)

    with pytest.raises(RuntimeError), writing.both_names(place, pairs):
        raise RuntimeError
    assert left(folder) == ["after_p.sh", "before_p.sh"]

    with writing.both_names(place, pairs):
        there = set(left(folder))
        assert there >= {"before_q.sh", "after_q.sh"}
        assert ("before_p.sh" in there) == has_links
    assert left(folder) == ["after_q.sh", "before_q.sh"]
    assert (storage.path(folder) / "after_q.sh").read_bytes() == OTHER


def _no_links(*_: object, **__: object) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_a_new_name_that_is_taken_renames_nothing(folder: Folder, place: int, script: Path) -> None:
    (storage.path(folder) / "after_p.sh").write_bytes(TEXT)
    (storage.path(folder) / "after_q.sh").write_bytes(OTHER)
    pairs = [("before_p.sh", "before_q.sh"), ("after_p.sh", "after_q.sh")]

    with (
        pytest.raises(FileError, match=r"There is a file after_q.sh already"),
        writing.both_names(place, pairs),
    ):
        pytest.fail("the block must not be entered")

    assert left(folder) == ["after_p.sh", "after_q.sh", "before_p.sh"]
