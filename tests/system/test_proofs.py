"""The main job of proofs: databases under load, backed up by the whole product, started from that very snapshot."""

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.ground import filesystems, ledger, mariadb, postgresql
from tests.system.product import POLICY
from tests.system.proof_runs import backed_up, install_recipe, last_in, proven, served, tell

pytest_plugins = ("tests.ground.fixtures",)
pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.lasts(60)]

MOST_SECONDS = 15.0
VERIFY = {
    "mariadb": """#!/bin/bash
echo "last $(mariadb --no-defaults --socket="$N2W_PROOF_SOCKET" -u root -BNe 'SELECT MAX(number) FROM shop.ledger')"
[[ $(mariadb --no-defaults --socket="$N2W_PROOF_SOCKET" -u root -BNe \\
  "SELECT COUNT(*) FROM n2wbackup.n2wbackup_marks WHERE mark = '$N2W_MARK'") == 1 ]]
""",
    "postgresql": """#!/bin/bash
echo "last $(psql -XAtq -d shop -c 'SELECT MAX(number) FROM ledger')"
[[ $(psql -XAtq -d postgres -c "SELECT count(*) FROM n2wbackup.n2wbackup_marks WHERE mark = '$N2W_MARK'") == 1 ]]
""",
}


# A database of some size: the rest of it is what a proof does not read.
BULK = {
    "mariadb": (
        "SET sql_log_bin = 0; CREATE TABLE shop.bulk (id INT PRIMARY KEY, pad LONGBLOB) SELECT seq AS id, "
        "REPEAT(CHAR(65 + seq % 26), 65000) AS pad FROM shop.seq_1_to_6000"
    ),
    "postgresql": (
        "CREATE TABLE bulk AS SELECT g AS id, (SELECT string_agg(md5((g * 64 + i)::text), '') "
        "FROM generate_series(1, 64) AS i) AS pad FROM generate_series(1, 160000) AS g"
    ),
}


@pytest.fixture(scope="module")
def volume(disks: filesystems.Volume) -> Iterator[filesystems.Volume]:
    """An XFS with room for a database of some size."""
    with filesystems.xfs(disks.mount, name="proofs", megabytes=1200) as made:
        yield made


@pytest.fixture(scope="module")
def maria(ground_folder: Path, volume: filesystems.Volume) -> Iterator[mariadb.Server]:
    with mariadb.running(ground_folder / "maria", data=volume.mount / "mysql") as server:
        server.sql(BULK["mariadb"])
        yield server
    shutil.rmtree(volume.mount / "mysql")


@pytest.fixture(scope="module")
def postgres(volume: filesystems.Volume) -> Iterator[postgresql.Cluster]:
    with postgresql.running(data=volume.mount / "postgresql", settings={}) as server:
        server.open_shop()
        server.sql(BULK["postgresql"], database="shop")
        yield server
    shutil.rmtree(volume.mount / "postgresql")


def assert_exactly_the_frozen_moment(
    run: dict[str, Any], proof: dict[str, Any], writer: ledger.Writer
) -> None:
    assert (proof["state"], proof["reached"], proof["mark"]) == ("passed", 3, "found"), proof
    assert proof["seconds"] <= MOST_SECONDS
    assert proof["redo"]["bytes"] >= 0
    assert proof["blocks_read"] < 0.2 * proof["blocks_of_snapshot"]
    fired = datetime.fromisoformat(run["fired_at"])
    begun = datetime.fromisoformat(run["phases"]["before"]["ended_at"])
    until = [commit.number for commit in writer.commits if commit.at <= fired]
    before = [commit.number for commit in writer.commits if commit.at <= begun]
    assert before[-1] <= last_in(proof) <= until[-1] + 1


def test_a_mariadb_under_load_is_proven_to_be_the_frozen_moment_and_a_crash_is_told_apart(
    ground_folder: Path,
    disks: filesystems.Volume,
    volume: filesystems.Volume,
    maria: mariadb.Server,
) -> None:
    with (
        ledger.Writer(maria, per_second=200) as writer,
        served(ground_folder, disks, volume) as product,
    ):
        settings = {
            "option_file": str(maria.option_file(product.home / "client.cnf")),
            "state_folder": str(product.home / "state"),
            "data_folder": str(maria.data),
        }
        install_recipe(product, "mariadb-client-on-server", settings)
        verify = product.folder / f"verify_{POLICY}.sh"
        verify.write_text(VERIFY["mariadb"])

        run = backed_up(product)
        assert run["consistency"] == "application"
        proof = proven(product, run["id"], "mariadb")
        assert_exactly_the_frozen_moment(run, proof, writer)
        assert "MariaDB" in proof["server"]
        consistent = proof["redo"]["bytes"]
        verify.unlink()
        assert proven(product, run["id"], "mariadb")["state"] == "passed"

        product.apply([product.instance], scripts={"enabled": False})
        writer.wait_for(600)
        crash = backed_up(product)
        assert crash["consistency"] == "crash"
        lost = proven(product, crash["id"], "mariadb")

        assert (lost["state"], lost["reached"], lost["mark"]) == ("failed", 2, "missing")
        assert "the mark of its run is not in it" in lost["reason"]
        assert lost["redo"]["bytes"] > 0
        tell(f"redo: {consistent} bytes frozen, {lost['redo']['bytes']} bytes crashed")
        assert "n2wbackup:proof': 'failed level 3" in str(
            [each.tags for each in product.aws.snapshots() if each.snapshot_id == lost["snapshot"]]
        )


def test_a_postgresql_under_load_is_proven_to_be_after_its_mark_and_a_crash_is_told_apart(
    ground_folder: Path,
    disks: filesystems.Volume,
    volume: filesystems.Volume,
    postgres: postgresql.Cluster,
) -> None:
    with (
        ledger.Writer(postgres, per_second=200) as writer,
        served(ground_folder, disks, volume) as product,
    ):
        settings = {
            "service_file": str(postgres.service_file(product.home / "service.conf")),
            "state_folder": str(product.home / "state"),
            "data_folder": str(postgres.data),
        }
        install_recipe(product, "postgresql-client-on-server", settings)
        verify = product.folder / f"verify_{POLICY}.sh"
        verify.write_text(VERIFY["postgresql"])

        run = backed_up(product)
        proof = proven(product, run["id"], "postgresql")
        assert_exactly_the_frozen_moment(run, proof, writer)
        consistent = proof["redo"]["bytes"]
        verify.unlink()
        assert proven(product, run["id"], "postgresql")["state"] == "passed"

        product.apply([product.instance], scripts={"enabled": False})
        writer.wait_for(600)
        lost = proven(product, backed_up(product)["id"], "postgresql")

        assert (lost["state"], lost["reached"], lost["mark"]) == ("failed", 2, "missing")
        assert lost["redo"]["bytes"] > consistent
        tell(f"redo: {consistent} bytes frozen, {lost['redo']['bytes']} bytes crashed")
