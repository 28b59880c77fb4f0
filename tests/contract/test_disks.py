"""What the copy of a folder is as blocks: a file system that is whole, and the same one from snapshot to snapshot."""

import subprocess
from pathlib import Path

import pytest

from n2wbackup.demo.aws import disks
from tests.ground import components

VOLUME = "vol-0123456789abcdef0"


def _folder(at: Path, text: str) -> Path:
    (at / "below").mkdir(parents=True)
    (at / "below" / "letter").write_text(text)
    return at


def test_a_folder_becomes_a_disk_that_is_whole_and_has_its_files(tmp_path: Path) -> None:
    components.program("mkfs.ext4")
    disk = disks.of(_folder(tmp_path / "volume", "mine\n"), VOLUME, 1)

    assert disk is not None
    assert disk.stat().st_size == 1024**3
    assert disk.stat().st_blocks * 512 < 64 * 1024**2, "an empty disk is nothing but a few tables"
    checker, reader = components.program("e2fsck"), components.program("debugfs")
    subprocess.run([checker, "-fn", disk], check=True, capture_output=True)
    words = [str(reader), "-R", "cat /below/letter", str(disk)]
    assert subprocess.run(words, check=True, capture_output=True).stdout == b"mine\n"


def test_all_disks_of_a_volume_are_the_same_file_system_and_each_is_made_once(
    tmp_path: Path,
) -> None:
    components.program("mkfs.ext4")
    first, second = (_folder(tmp_path / name / "volume", name) for name in ("a", "b"))
    made = [disks.of(folder, VOLUME, 1) for folder in (first, second)]
    other = disks.of(_folder(tmp_path / "c" / "volume", "c"), "vol-0fedcba9876543210", 1)

    assert _identity(made[0]) == _identity(made[1]) != _identity(other)
    (first / "below" / "letter").write_text("changed after the snapshot")
    assert disks.of(first, VOLUME, 1) == made[0]
    assert "changed" not in _letter(made[0])


def _identity(disk: Path | None) -> bytes:
    assert disk is not None
    with disk.open("rb") as file:
        file.seek(1024 + 0x68)  # the superblock's UUID
        return file.read(16)


def _letter(disk: Path | None) -> str:
    words = [str(components.program("debugfs")), "-R", "cat /below/letter", str(disk)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def test_an_image_is_its_own_disk_and_a_machine_without_the_program_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "image"
    image.touch()
    assert disks.of(image, VOLUME, 1) == image
    assert disks.of(None, VOLUME, 1) is None

    monkeypatch.setattr(disks, "_PROGRAM", None)
    assert disks.of(_folder(tmp_path / "volume", ""), VOLUME, 1) is None
    assert not disks.can_make()
