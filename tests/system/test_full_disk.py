"""A home on a disk that is full, or mounted read-only: each command says so in one sentence."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ground import components, empty, processes
from tests.n2wbackup.test_command_line import is_one_sentence, manage


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small file system of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    mount, unmount = components.program("mount"), components.program("umount")
    with processes.folder() as folder:
        words = ["-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
        subprocess.run([mount, *words], check=True)
        try:
            yield folder
        finally:
            subprocess.run([unmount, "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Leave no byte."""
    with (folder / "filler").open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                file.write(b"\0" * size)
            except OSError:
                size //= 2


def document(folder: Path) -> Path:
    path = folder / "backup.yaml"
    path.write_text("users: [{name: alice, email: a@example.org}]\n")
    return path


def test_a_full_disk_is_one_sentence(disk: Path, tmp_path: Path) -> None:
    home = disk / "home"
    empty.furnish(home)
    assert manage(home, "list_runs").returncode == 0  # the home has its secrets
    fill(disk)

    found = manage(home, "apply", str(document(tmp_path)))

    assert found.returncode == 1
    assert "because its disk is full" in found.stderr, found.stderr
    assert f"of the home {home}" in found.stderr
    assert is_one_sentence(found.stderr), found.stderr


def test_a_new_home_on_a_full_disk_is_one_sentence(disk: Path) -> None:
    fill(disk)

    found = manage(disk / "home", "list_runs")

    assert found.returncode == 1
    assert is_one_sentence(found.stderr), found.stderr
    assert "disk is full" in found.stderr or "No space left on device" in found.stderr


def test_a_disk_that_is_read_only_is_one_sentence(disk: Path, tmp_path: Path) -> None:
    home = disk / "home"
    empty.furnish(home)
    assert manage(home, "list_runs").returncode == 0  # the home has its secrets
    options = "remount,ro"
    subprocess.run([components.program("mount"), "-o", options, str(disk)], check=True)

    found = manage(home, "apply", str(document(tmp_path)))

    assert found.returncode == 1
    assert is_one_sentence(found.stderr), found.stderr
    assert f"of the home {home} cannot be written" in found.stderr
    assert "that the disk is mounted read-write" in found.stderr
