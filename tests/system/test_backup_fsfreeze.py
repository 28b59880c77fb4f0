"""The whole product freezes the file system that it is on, and the copy has everything that was written."""

import json
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from n2wbackup.demo.aws import VolumeSpec
from tests.ground import filesystems, fsfreeze
from tests.ground.fsfreeze import Writer
from tests.system.product import LABEL, POLICY, Product, serving

pytest_plugins = ("tests.ground.fixtures", "tests.ground.fsfreeze_fixtures")
pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.lasts(40)]


@pytest.fixture
def product(
    ground_folder: Path, disks: filesystems.Volume, xfs_volume: filesystems.Volume
) -> Iterator[Product]:
    """A server with N2W_HOME on the file system that its policy freezes and backs up."""
    beside = ground_folder / "product"
    copies = disks.mount / "snapshots"
    for folder in (beside, copies):
        folder.mkdir(exist_ok=True)
    volumes = [VolumeSpec(), VolumeSpec(backing=xfs_volume.image, copy_to=copies)]
    with serving(xfs_volume.mount / "home", beside, volumes=volumes) as served:
        shutil.rmtree(served.folder)
        recipe = fsfreeze.on_this_machine(
            served.folder, {"mounts": [xfs_volume.mount]}, policy=POLICY
        )
        try:
            yield served
        finally:
            fsfreeze.end(recipe, [xfs_volume.mount])
    shutil.rmtree(beside, ignore_errors=True)


def test_a_server_backs_up_the_file_system_of_its_own_home(
    product: Product, xfs_volume: filesystems.Volume, ground_folder: Path
) -> None:
    with Writer(xfs_volume) as writer:
        done = product.manage("run_policy", LABEL, "--wait", "--json")
        writer.wait_for(50)
    assert done.returncode == 0, done.stdout + done.stderr
    run = json.loads(done.stdout)

    assert (run["state"], run["consistency"]) == ("succeeded", "application")
    frozen_at = datetime.fromisoformat(run["phases"]["before"]["ended_at"])
    thawed_at = datetime.fromisoformat(run["phases"]["after"]["started_at"])
    assert writer.between(frozen_at, thawed_at) == []
    assert "were frozen for" in run["phases"]["after"]["stdout"]
    image = next(s.copy for s in product.aws.snapshots() if s.copy is not None)
    written = [write.number for write in writer.writes if write.at < frozen_at]
    options = fsfreeze.AS_IT_LIES["xfs"]
    with filesystems.mounted(image, ground_folder / "restored", options=options) as copy:
        assert writer.found_in(copy.mount) == written != []
    image.unlink()
