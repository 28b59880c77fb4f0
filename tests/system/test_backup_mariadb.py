"""The main job: a real MariaDB, backed up by the whole product, its scripts over SSH or on its instance."""

import json
import re
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from n2wbackup.demo.aws import VolumeSpec
from scripts_admin.folders import recipes as made_recipes
from tests.ground import filesystems, ledger, mariadb, recipes, sshd
from tests.system.product import LABEL, OWNER, POLICY, Product, serving

pytest_plugins = ("tests.ground.fixtures",)
pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.lasts(60)]

THERE = "there"  # the policy whose scripts run on the instance
REGION = "us-east-1"


@pytest.fixture(scope="module")
def product(
    ground_folder: Path,
    disks: filesystems.Volume,
    data_volume: filesystems.Volume,
    database: mariadb.Server,
    ground_sshd: sshd.Sshd,
) -> Iterator[Product]:
    """A server whose policy backs the data volume up with the recipe over SSH; its folder has that for instances, too.

    The host is approved by its fingerprint, as the server itself gets the key.
    """
    copies = disks.mount / "snapshots"
    copies.mkdir(exist_ok=True)
    home = ground_folder / "product"
    home.mkdir()
    volumes = [VolumeSpec(), VolumeSpec(backing=data_volume.image, copy_to=copies)]
    loopback = {"N2W_SSH_NETWORKS": "127.0.0.0/8"}
    with serving(home / "home", home, volumes=volumes, more=loopback) as served:
        shutil.rmtree(served.folder)
        installed = recipes.mariadb_over_ssh(served.folder, database, ground_sshd, policy=POLICY)
        recipes.with_keys_of_the_server(installed, ground_sshd, served.home / "ssh" / OWNER)
        _carry(served.folder, database, ground_folder / "there")
        ground_sshd.let_in(served.succeed("add_key", OWNER).strip())
        words = ("--port", str(ground_sshd.port), "--fingerprint", ground_sshd.host_key)
        assert "approved" in served.succeed("approve_host", OWNER, "127.0.0.1", *words)
        yield served
    shutil.rmtree(home, ignore_errors=True)


def _carry(folder: Path, database: mariadb.Server, beside: Path) -> None:
    """Make the scripts for instances from the recipe, as the page does."""
    beside.mkdir()
    recipe = made_recipes.named("mariadb-on-the-instance")
    assert recipe is not None
    settings = {
        "option_file": str(database.option_file(beside / "client.cnf")),
        "state_folder": str(beside / "state"),
        "data_folder": str(database.data),
    }
    for name, text in made_recipes.made(recipe, THERE, settings).items():
        (folder / name).write_bytes(text)


def test_a_mariadb_is_held_copied_released_and_its_copy_starts_at_the_recorded_position(
    product: Product, ground_folder: Path, database: mariadb.Server, writer: ledger.Writer
) -> None:
    database.sql("FLUSH BINARY LOGS")
    logs = database.binary_logs()

    run = _run(product, LABEL)
    writer.wait_for(50)

    before, after = run["phases"]["before"], run["phases"]["after"]
    held = writer.between(
        datetime.fromisoformat(before["ended_at"]), datetime.fromisoformat(after["started_at"])
    )
    assert held == []
    position = _position(before)
    assert database.binary_logs() == logs[logs.index(position[0]) :]
    _assert_agrees(ground_folder, _copy(product, run), database, position)


@pytest.mark.parametrize("by", ["ssh", "ssm"])
def test_a_mariadb_is_held_by_scripts_on_its_instance_and_its_copy_starts_at_that_position(
    by: str,
    product: Product,
    ground_folder: Path,
    disks: filesystems.Volume,
    data_volume: filesystems.Volume,
    database: mariadb.Server,
    writer: ledger.Writer,
    ground_sshd: sshd.Sshd,
) -> None:
    server = ground_sshd
    way = {"user": server.user, "key": "stored", "host": "127.0.0.1", "port": server.port}
    remote = {"by": by, **(way if by == "ssh" else {})}
    place = ground_folder / f"instance-by-{by}"
    place.mkdir()
    disk = VolumeSpec(backing=data_volume.image, copy_to=disks.mount / "snapshots")
    made = product.aws.add_instance(volumes=[VolumeSpec(), disk], folder=place)
    target = {"instance": made.instance_id, "region": REGION, "remote": remote}
    product.apply([], name=THERE, targets=[target])
    product.aws.forget_calls()

    run = _run(product, f"{OWNER}/{THERE}")
    writer.wait_for(50)

    there = run["targets"][0]
    before, after = there["phases"]["before"], there["phases"]["after"]
    assert there["thaw_by"] == "worker"
    assert "the lock was held for" in after["stdout"]
    # Until AWS had taken the snapshots: when the thaw began there, this server has heard only later.
    assert writer.between(datetime.fromisoformat(before["ended_at"]), _taken(product)) == []
    _assert_agrees(ground_folder, _copy(product, run), database, _position(before))


def test_complete_purges_nothing_when_a_snapshot_failed(
    product: Product, database: mariadb.Server, writer: ledger.Writer
) -> None:
    database.sql("FLUSH BINARY LOGS")
    logs = database.binary_logs()
    product.aws.fault("CreateSnapshots", "snapshot_error", times=1)

    done = product.manage("run_policy", LABEL, "--wait", "--json")
    writer.wait_for(20)

    assert done.returncode == 1
    assert json.loads(done.stdout)["phases"]["complete"]["argument"] == "0"
    assert database.binary_logs()[: len(logs)] == logs


def _run(product: Product, label: str) -> dict[str, Any]:
    done = product.manage("run_policy", label, "--wait", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    run: dict[str, Any] = json.loads(done.stdout)
    assert (run["state"], run["consistency"]) == ("succeeded", "application"), run["reason"]
    return run


def _taken(product: Product) -> datetime:
    """When AWS had answered CreateSnapshots."""
    calls = [each for each in product.aws.calls("CreateSnapshots") if not each.dry_run]
    assert len(calls) == 1, calls
    return calls[0].at + timedelta(seconds=calls[0].service_seconds)


def _position(before: dict[str, Any]) -> tuple[str, int]:
    match = re.search(r"binary log position: (\S+) (\d+) ", before["stdout"])
    assert match, before
    return match[1], int(match[2])


def _copy(product: Product, run: dict[str, Any]) -> Path:
    """The copy of the data volume that this run has made."""
    made = [each for each in product.aws.snapshots() if each.tags["n2wbackup:run"] == run["id"]]
    return next(each.copy for each in made if each.copy)


def _assert_agrees(
    ground_folder: Path, image: Path, original: mariadb.Server, position: tuple[str, int]
) -> None:
    with (
        filesystems.mounted(image, ground_folder / "restored", options=["nouuid"]) as restored,
        mariadb.running(ground_folder / "copy", data=restored.mount / "mysql") as copy,
    ):
        ledger = copy.ledger()
    assert ledger.whole
    assert ledger.last == original.last_number_in_binary_log(*position) > 0
    image.unlink()
    shutil.rmtree(ground_folder / "copy")
