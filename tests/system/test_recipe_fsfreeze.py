"""The fsfreeze recipe on a real XFS and a real ext4, with writers that never rest."""

import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.ground import components, filesystems, fsfreeze, scripts
from tests.ground.fsfreeze import Writer
from tests.ground.recipes import Install
from tests.system.recipe_runs import a_run

pytest_plugins = ("tests.ground.fixtures", "tests.ground.fsfreeze_fixtures")
pytestmark = pytest.mark.real

KINDS = ["xfs", "ext4"]


def test_no_write_lands_between_the_end_of_before_and_the_start_of_after(
    fsfreeze_install: Install, writers: list[Writer]
) -> None:
    recipe, run = fsfreeze_install(), a_run()

    before = scripts.run(recipe.before, environment=run)
    time.sleep(0.5)
    after = scripts.run(recipe.after, "1", environment=run)
    complete = scripts.run(recipe.complete, "1", environment=run)

    assert (before.exit_code, after.exit_code, complete.exit_code) == (0, 0, 0), (before, after)
    assert "were frozen for" in after.stdout
    assert after.stdout.split()[6] == complete.stdout.split()[6]
    for writer in writers:
        assert writer.between(before.ended_at, after.started_at) == []
        writer.wait_for(50)
    assert fsfreeze.auto_thaws(recipe) == []


def test_a_copy_of_the_disks_holds_all_that_was_written_until_the_freeze_and_nothing_later(
    fsfreeze_install: Install,
    writers: list[Writer],
    volumes: list[filesystems.Volume],
    disks: filesystems.Volume,
    ground_folder: Path,
) -> None:
    recipe, run = fsfreeze_install(), a_run()

    assert scripts.run(recipe.before, environment=run).exit_code == 0
    time.sleep(0.2)
    written = [[write.number for write in writer.writes] for writer in writers]
    images = [v.clone_image(disks.mount / f"{v.mount.name}.snapshot") for v in volumes]
    after = scripts.run(recipe.after, "1", environment=run)
    for writer in writers:
        writer.wait_for(50)

    assert after.exit_code == 0, after
    for kind, writer, numbers, image in zip(KINDS, writers, written, images, strict=True):
        assert numbers == list(range(1, len(numbers) + 1))
        # As the blocks lie there, without a replay of any log: this is what the freeze is for.
        assert looked_at(image, ground_folder, kind, fsfreeze.AS_IT_LIES, writer) == numbers
        assert_sound_as_it_lies(image, kind)
        # And as a reader of the README restores it.
        assert looked_at(image, ground_folder, kind, fsfreeze.FOR_USE, writer) == numbers
        assert_clean(image, kind)
        image.unlink()


def test_a_copy_without_a_freeze_lacks_what_was_written_or_needs_a_replay(
    writers: list[Writer], volumes: list[filesystems.Volume], disks: filesystems.Volume
) -> None:
    # So the test above could fail.
    _, on_ext4 = writers
    image = volumes[1].clone_image(disks.mount / "unfrozen.snapshot")
    on_ext4.wait_for(5)

    assert needs_replay(image)
    image.unlink()


def looked_at(
    image: Path, folder: Path, kind: str, options: dict[str, list[str]], writer: Writer
) -> list[int]:
    """Mount the copy and return the writer's numbers in it."""
    with filesystems.mounted(image, folder / "restored", kind=kind, options=options[kind]) as copy:
        return writer.found_in(copy.mount)


def assert_sound_as_it_lies(image: Path, kind: str) -> None:
    if kind == "ext4":
        assert not needs_replay(image)
        assert_clean(image, kind)
        return
    # A frozen XFS leaves records in its log on purpose: of the superblock alone, of no file and no
    # folder. So its count of free blocks, which their replay sets, is all that xfs_repair may miss.
    log = checked([components.program("xfs_logprint"), "-t", "-i", image])
    assert set(re.findall(r"start blkno:(\S+)", log)) == {"0x0"}
    assert "INODE:" not in log
    assert [line for line in repaired(image).splitlines() if "would" in line] == []


def repaired(image: Path) -> str:
    command: list[str | Path] = [components.program("xfs_repair"), "-n", "-f", image]
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    ).stdout


def needs_replay(image: Path) -> bool:
    return "needs_recovery" in checked([components.program("dumpe2fs"), "-h", image])


def assert_clean(image: Path, kind: str) -> None:
    if kind == "ext4":
        checked([components.program("e2fsck"), "-f", "-n", image])
    else:
        checked([components.program("xfs_repair"), "-n", "-f", image])


def checked(command: list[str | Path]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
