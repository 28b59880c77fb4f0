"""A real PostgreSQL behind a real sshd, backed up by the whole product in backup mode."""

import json
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from n2wbackup.demo.aws import VolumeSpec
from tests.ground import filesystems, ledger, postgresql, recipes, sshd
from tests.system.postgresql_runs import (
    TO_THE_END,
    assert_whole,
    printed_files,
    recover_from,
    restored,
    started,
)
from tests.system.product import LABEL, POLICY, Product, serving

pytest_plugins = ("tests.ground.fixtures", "tests.ground.postgresql_fixtures")
pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.lasts(60)]


@pytest.fixture
def product(
    ground_folder: Path,
    disks: filesystems.Volume,
    data_volume: filesystems.Volume,
    cluster: postgresql.Cluster,
    ground_sshd: sshd.Sshd,
) -> Iterator[Product]:
    """A server whose policy backs the data volume up with the recipe over SSH."""
    copies = disks.mount / "snapshots"
    copies.mkdir(exist_ok=True)
    home = ground_folder / "product-of-postgresql"
    home.mkdir()
    volumes = [VolumeSpec(), VolumeSpec(backing=data_volume.image, copy_to=copies)]
    with serving(home / "home", home, volumes=volumes) as served:
        shutil.rmtree(served.folder)
        settings: recipes.Settings = {"method": "backup"}
        recipes.postgresql_over_ssh(
            served.folder, cluster, ground_sshd, policy=POLICY, settings=settings
        )
        yield served
    shutil.rmtree(home, ignore_errors=True)


def test_a_postgresql_is_copied_and_its_copy_is_restored_with_the_label_on_the_runs_page(
    product: Product, ground_folder: Path, archive: Path, cluster_writer: ledger.Writer
) -> None:
    done = product.manage("run_policy", LABEL, "--wait", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    run = json.loads(done.stdout)

    assert (run["state"], run["consistency"]) == ("succeeded", "application")
    before, after = run["phases"]["before"], run["phases"]["after"]
    before_ended_at, after_started_at = (
        datetime.fromisoformat(each) for each in (before["ended_at"], after["started_at"])
    )
    assert "the label can be used" in run["phases"]["complete"]["stdout"]
    copy = next(s.copy for s in product.aws.snapshots() if s.copy is not None)
    with restored(copy, ground_folder / "restored") as data:
        # One volume, so it starts without a label just as well; with it, it must end at the stop.
        command = recover_from(archive, data, printed_files(after["stdout"]))
        with started(data, restore_command=command, **TO_THE_END) as server:
            assert_whole(server, cluster_writer, until=after_started_at)
    assert before_ended_at < after_started_at
