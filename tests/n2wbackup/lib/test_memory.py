"""The folder in memory is had whatever others put under its name first."""

import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from n2wbackup.lib import memory
from tests.ground import components, strangers


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a public folder in memory; /run is on disk for this test."""
    made = Path(tempfile.mkdtemp(prefix="n2w-public-", dir="/dev/shm"))
    made.chmod(0o1777)
    monkeypatch.setattr(memory, "PUBLIC", made)
    monkeypatch.setattr(memory, "ROOTS", made / "missing")
    yield made
    shutil.rmtree(made)


@pytest.fixture
def roots(public: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder in memory that is root's alone, as /run is."""
    components.needs_root("a place of root's")
    made = Path(tempfile.mkdtemp(prefix="n2w-run-", dir="/dev/shm"))
    made.chmod(0o755)
    monkeypatch.setattr(memory, "ROOTS", made)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def name() -> str:
    return str(uuid.uuid4())


def _as_folder(path: Path) -> None:
    path.mkdir(mode=0o777)


def _as_link(path: Path) -> None:
    path.symlink_to("/etc")


def _as_file(path: Path) -> None:
    path.touch()


@pytest.mark.parametrize("make", [_as_folder, _as_link, _as_file, os.mkfifo])
def test_a_name_that_somebody_else_made_first_keeps_nobody_from_starting(
    public: Path, tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    taken = public / f"n2wbackup-{name}"
    strangers.does(lambda: make(taken))

    found = memory.folder(tmp_path, name)

    assert found.parent == public
    assert found != taken
    assert (found.stat().st_uid, stat.S_IMODE(found.stat().st_mode)) == (os.geteuid(), 0o700)
    assert taken.lstat().st_uid == strangers.UID
    assert memory.folder(tmp_path, name) == found
    assert memory.expected(tmp_path, name) == found


def test_every_process_finds_the_same_folder_though_others_make_more_of_the_name(
    public: Path, tmp_path: Path, name: str
) -> None:
    strangers.does(lambda: _as_folder(public / f"n2wbackup-{name}"))
    found = memory.folder(tmp_path, name)
    strangers.does(lambda: _as_folder(public / f"n2wbackup-{name}.00000000"))
    memory._known.clear()  # as in a process that starts now

    assert memory.folder(tmp_path, name) == found


def test_where_the_name_is_free_it_is_taken(public: Path, tmp_path: Path, name: str) -> None:
    assert memory.expected(tmp_path, name) == public / f"n2wbackup-{name}"
    assert not memory.expected(tmp_path, name).exists()
    assert memory.folder(tmp_path, name) == public / f"n2wbackup-{name}"


def test_root_has_its_folder_where_only_root_can_make_a_name(
    public: Path, roots: Path, tmp_path: Path, name: str
) -> None:
    strangers.does(lambda: _as_folder(public / f"n2wbackup-{name}"))

    found = memory.folder(tmp_path, name)

    assert found == roots / "n2wbackup" / name
    assert stat.S_IMODE(found.stat().st_mode) == 0o700
    assert memory.expected(tmp_path, name) == found


def test_roots_folder_of_a_former_release_is_kept_until_a_reboot(
    public: Path, roots: Path, tmp_path: Path, name: str
) -> None:
    left = public / f"n2wbackup-{name}"
    left.mkdir(mode=0o700)

    assert memory.folder(tmp_path, name) == left


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_run_folder_that_others_can_write_to_is_not_roots(
    public: Path, roots: Path, tmp_path: Path, name: str, mode: int
) -> None:
    roots.chmod(mode)

    assert memory.folder(tmp_path, name) == public / f"n2wbackup-{name}"


def test_a_run_folder_whose_part_somebody_else_owns_is_passed_by(
    public: Path, roots: Path, tmp_path: Path, name: str
) -> None:
    (roots / "n2wbackup").mkdir()
    strangers.gets(roots / "n2wbackup")

    assert memory.folder(tmp_path, name) == public / f"n2wbackup-{name}"
