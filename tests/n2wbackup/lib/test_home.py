import errno
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from n2wbackup.lib import home, memory


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """Return a fresh N2W_HOME, and remove its folder in memory at the end."""
    settings.N2W_HOME = tmp_path
    yield tmp_path
    folder = home.runtime_of(tmp_path)
    if folder.is_dir() and not folder.is_symlink():
        folder.rmdir()
    else:
        folder.unlink(missing_ok=True)


def test_the_server_keeps_its_id(own_home: Path) -> None:
    first = home.server_id()

    assert str(uuid.UUID(first)) == first
    assert home.server_id() == first
    assert (own_home / "server-id").read_text() == f"{first}\n"


def test_another_home_is_another_server(own_home: Path, settings: Settings) -> None:
    first = home.server_id()
    settings.N2W_HOME = own_home / "other"

    assert home.server_id() != first


def test_an_id_that_is_none_is_refused_and_kept(own_home: Path) -> None:
    (own_home / "server-id").write_text("nonsense\n")

    with pytest.raises(ValueError, match="does not contain a UUID: restore it"):
        home.server_id()

    assert (own_home / "server-id").read_text() == "nonsense\n"
    (own_home / "server-id").unlink()


@pytest.mark.parametrize(("name", "mode"), [("spool", 0o711), ("run", 0o700), ("logs", 0o700)])
def test_the_folders_of_the_server_can_be_listed_by_nobody_else(
    own_home: Path, name: str, mode: int
) -> None:
    folder: Path = getattr(home, name)()

    assert folder == own_home / name
    assert stat.S_IMODE(folder.stat().st_mode) == mode


def test_the_runtime_folder_is_private_and_in_memory() -> None:
    folder = home.runtime()

    assert folder == Path(f"/dev/shm/n2wbackup-{home.server_id()}")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert home.runtime() == folder


def test_the_runtime_folder_is_closed_again_when_somebody_opened_it() -> None:
    home.runtime().chmod(0o755)

    assert stat.S_IMODE(home.runtime().stat().st_mode) == 0o700


def test_what_somebody_else_put_under_its_name_is_left_alone(tmp_path: Path) -> None:
    taken = home.runtime_of(tmp_path)
    trap = tmp_path / "trap"
    trap.mkdir(mode=0o755)
    taken.symlink_to(trap)

    folder = home.runtime()

    assert folder != taken
    assert folder.name.startswith(f"{taken.name}.")
    assert stat.S_IMODE(trap.stat().st_mode) == 0o755
    folder.rmdir()
    taken.unlink()


def test_a_thaw_has_its_journals_on_disk_where_memory_has_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "PUBLIC", tmp_path / "missing")

    folder = home.runtime_to_thaw()

    assert folder.is_relative_to(tmp_path / "run")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert home.runtime_to_thaw() == folder


def test_a_thaw_has_its_temporary_files_on_disk_where_memory_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, kept = tempfile.mkdtemp, tempfile.tempdir

    def full(**names: Any) -> str:
        if str(names["dir"]).startswith("/dev/shm"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return str(real(**names))

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    try:
        home.keep_temporary_files_in_memory()
        assert Path(str(tempfile.tempdir)).is_relative_to(tmp_path / "run")
    finally:
        tempfile.tempdir = kept


def test_a_runtime_folder_on_a_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if memory.file_system(tmp_path.stat().st_dev) == "tmpfs":
        pytest.skip("the tests' own temporary folder is in memory")
    monkeypatch.setattr(memory, "PUBLIC", tmp_path)

    with pytest.raises(home.RuntimeFolderError, match="not in memory"):
        home.runtime()


def test_a_runtime_folder_that_cannot_be_made_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "PUBLIC", tmp_path / "missing")

    with pytest.raises(home.RuntimeFolderError, match="mount a tmpfs"):
        home.runtime()


def _home() -> Path:
    return home.serve_lock().parent


TEMPORARY = """
import os, sys, tempfile, time
import django
django.setup()
from n2wbackup.lib import home, memory

home.keep_temporary_files_in_memory()
print(tempfile.mkdtemp(), flush=True)
sys.stdin.read()
"""


def _keeper(own_home: Path) -> tuple["subprocess.Popen[str]", Path]:
    """Start a process that keeps its temporary files in memory; return it, and one of the files."""
    process = subprocess.Popen(
        [sys.executable, "-c", TEMPORARY],
        cwd=Path(__file__).resolve().parents[3],
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "n2wbackup.settings",
            "N2W_HOME": str(own_home),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    return process, Path(process.stdout.readline().rstrip())


def test_temporary_files_of_the_dead_are_removed_and_those_of_the_living_kept(
    own_home: Path,
) -> None:
    dead, lost = _keeper(own_home)
    with dead:
        dead.kill()
    first, kept = _keeper(own_home)
    second, own = _keeper(own_home)
    with first, second:
        try:
            there = [lost.exists(), kept.exists(), own.exists()]
            assert lost.is_relative_to(home.runtime())
        finally:
            first.kill()
            second.kill()
    shutil.rmtree(home.runtime())

    assert there == [False, True, True]
    assert lost.parent != kept.parent != own.parent
