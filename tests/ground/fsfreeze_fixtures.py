"""The ground of the fsfreeze recipe as fixtures; a test module names it in `pytest_plugins`."""

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ground import filesystems, fsfreeze, sshd
from tests.ground.recipes import Install, Recipe


@pytest.fixture(scope="session")
def xfs_volume(disks: filesystems.Volume) -> Iterator[filesystems.Volume]:
    """An XFS with its disk on `disks`."""
    with filesystems.xfs(disks.mount, name="frozen", megabytes=320) as volume:
        yield volume


@pytest.fixture(scope="session")
def ext4_volume(disks: filesystems.Volume) -> Iterator[filesystems.Volume]:
    """An ext4 with its disk on `disks`; its name has a blank, because mount points may have one."""
    with filesystems.ext4(disks.mount, name="frozen logs", megabytes=128) as volume:
        yield volume


@pytest.fixture
def volumes(
    xfs_volume: filesystems.Volume, ext4_volume: filesystems.Volume
) -> Iterator[list[filesystems.Volume]]:
    """Both volumes; they are thawed at the end, whatever a test does."""
    both = [xfs_volume, ext4_volume]
    try:
        yield both
    finally:
        for volume in both:
            fsfreeze.thaw(volume.mount)


@pytest.fixture
def writers(volumes: list[filesystems.Volume]) -> Iterator[list[fsfreeze.Writer]]:
    """One writer on each volume, 300 writes a second, all the time."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(fsfreeze.Writer(volume)) for volume in volumes]


@pytest.fixture
def on_this_machine(ground_folder: Path, volumes: list[filesystems.Volume]) -> Iterator[Install]:
    """Installs the fsfreeze recipe without SSH, by default for both volumes."""
    installed: list[Recipe] = []
    mounts = [volume.mount for volume in volumes]

    def installing(**settings: fsfreeze.Setting) -> Recipe:
        place = ground_folder / f"scripts-{uuid.uuid4().hex[:8]}"
        recipe = fsfreeze.on_this_machine(place, {"mounts": mounts, **settings})
        installed.append(recipe)
        return recipe

    yield installing
    for recipe in installed:
        fsfreeze.end(recipe, mounts)


@pytest.fixture
def fsfreeze_over_ssh(
    ground_folder: Path, ground_sshd: sshd.Sshd, volumes: list[filesystems.Volume]
) -> Iterator[Install]:
    """Installs the fsfreeze recipe over SSH, by default for both volumes."""
    installed: list[Recipe] = []
    mounts = [volume.mount for volume in volumes]

    def installing(**settings: fsfreeze.Setting) -> Recipe:
        place = ground_folder / f"scripts-{uuid.uuid4().hex[:8]}"
        recipe = fsfreeze.over_ssh(place, ground_sshd, {"mounts": mounts, **settings})
        installed.append(recipe)
        return recipe

    yield installing
    for recipe in installed:
        fsfreeze.end(recipe, mounts)


@pytest.fixture(params=["fsfreeze_over_ssh", "on_this_machine"])
def fsfreeze_install(request: pytest.FixtureRequest) -> Install:
    """Each of the two variants in turn."""
    chosen: Install = request.getfixturevalue(request.param)
    return chosen
