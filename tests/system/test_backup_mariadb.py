"""The main job: a real MariaDB behind a real sshd, backed up by the whole product."""

import json
import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from n2wbackup.demo.aws import VolumeSpec
from tests.ground import filesystems, ledger, mariadb, recipes, sshd
from tests.system.product import LABEL, OWNER, POLICY, Product, serving

pytest_plugins = ("tests.ground.fixtures",)
pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.lasts(60)]


@pytest.fixture
def product(
    ground_folder: Path,
    disks: filesystems.Volume,
    data_volume: filesystems.Volume,
    database: mariadb.Server,
    ground_sshd: sshd.Sshd,
) -> Iterator[Product]:
    """A server whose policy backs the data volume up with the recipe over SSH."""
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
        ground_sshd.let_in(served.succeed("add_key", OWNER).strip())
        yield served
    shutil.rmtree(home, ignore_errors=True)


def _approve(product: Product, server: sshd.Sshd) -> None:
    """Approve the host by its fingerprint, as the server itself gets the key."""
    words = ("--port", str(server.port), "--fingerprint", server.host_key)
    assert "approved" in product.succeed("approve_host", OWNER, "127.0.0.1", *words)


def test_a_mariadb_is_held_copied_released_and_its_copy_starts_at_the_recorded_position(
    product: Product,
    ground_folder: Path,
    database: mariadb.Server,
    writer: ledger.Writer,
    ground_sshd: sshd.Sshd,
) -> None:
    database.sql("FLUSH BINARY LOGS")
    logs = database.binary_logs()
    _approve(product, ground_sshd)

    done = product.manage("run_policy", LABEL, "--wait", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    run = json.loads(done.stdout)
    writer.wait_for(50)

    assert (run["state"], run["consistency"]) == ("succeeded", "application")
    before, after = run["phases"]["before"], run["phases"]["after"]
    held = writer.between(
        datetime.fromisoformat(before["ended_at"]), datetime.fromisoformat(after["started_at"])
    )
    assert held == []
    assert database.binary_logs() == logs[logs.index(_position(run)[0]) :]
    copy = next(s.copy for s in product.aws.snapshots() if s.copy is not None)
    _assert_agrees(ground_folder, copy, database, _position(run))


def test_complete_purges_nothing_when_a_snapshot_failed(
    product: Product, database: mariadb.Server, writer: ledger.Writer, ground_sshd: sshd.Sshd
) -> None:
    _approve(product, ground_sshd)
    database.sql("FLUSH BINARY LOGS")
    logs = database.binary_logs()
    product.aws.fault("CreateSnapshots", "snapshot_error", times=1)

    done = product.manage("run_policy", LABEL, "--wait", "--json")
    writer.wait_for(20)

    assert done.returncode == 1
    assert json.loads(done.stdout)["phases"]["complete"]["argument"] == "0"
    assert database.binary_logs()[: len(logs)] == logs


def _position(run: dict[str, Any]) -> tuple[str, int]:
    match = re.search(r"binary log position: (\S+) (\d+) ", run["phases"]["before"]["stdout"])
    assert match, run["phases"]["before"]
    return match[1], int(match[2])


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
