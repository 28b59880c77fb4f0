"""The main job of proofs: databases under load, backed up by the whole product, started from that very snapshot."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from n2wbackup.demo.aws import VolumeSpec
from scripts_admin.folders import recipes as made_recipes
from tests.ground import components, filesystems, ledger, mariadb, postgresql
from tests.system.product import LABEL, OWNER, POLICY, Product, serving

pytest_plugins = ("tests.ground.fixtures",)
LET_OPEN = (
    "from scripts_admin import permissions; from scripts_admin.models import User; "
    f"permissions.let_open_snapshots(User.objects.get(username='{OWNER}'))"
)
pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.lasts(60)]

BLOCK_SECONDS = 0.03  # as AWS takes for one
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


def _recipe(folder: Path, slug: str, settings: dict[str, str]) -> None:
    recipe = made_recipes.named(slug)
    assert recipe is not None
    for name, text in made_recipes.made(recipe, POLICY, settings).items():
        path = folder / name
        path.write_bytes(text)
        path.chmod(0o755 if name.endswith(".sh") else 0o644)


@contextmanager
def served(
    ground_folder: Path, disks: filesystems.Volume, data: filesystems.Volume
) -> Iterator[Product]:
    """A server whose policy backs the data volume up; a snapshot of it has real blocks."""
    components.program("nbdkit")
    components.needs_root("a mount")
    copies = disks.mount / "snapshots"
    copies.mkdir(exist_ok=True)
    home = ground_folder / f"product-{os.urandom(3).hex()}"
    home.mkdir()
    volumes = [VolumeSpec(), VolumeSpec(backing=data.image, copy_to=copies, size_gib=2)]
    try:
        with serving(home / "home", home, volumes=volumes) as product:
            product.aws.configure(latency_seconds={"GetSnapshotBlock": BLOCK_SECONDS})
            product.succeed("shell", "--command", LET_OPEN)
            shutil.rmtree(product.folder)
            product.folder.mkdir()
            yield product
    finally:
        shutil.rmtree(home, ignore_errors=True)


def backed_up(product: Product) -> dict[str, Any]:
    done = product.manage("run_policy", LABEL, "--wait", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def proven(product: Product, run: str, recipe: str, level: int = 3) -> dict[str, Any]:
    words = ("--level", str(level), "--recipe", recipe, "--json")
    done = product.manage("prove", run, *words)
    assert done.stdout.startswith("{"), done.stdout + done.stderr + product.log.read_text()[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode == 0) == (found["state"] == "passed"), done.stderr
    tally(recipe, found)
    return found


def tell(figures: str) -> None:
    """Say figures: pytest shows them with -s, and where a test fails."""
    sys.stdout.write(f"\n{figures}\n")


def tally(what: str, proof: dict[str, Any]) -> None:
    read, all_of_it = proof["blocks_read"], proof["blocks_of_snapshot"]
    share = f"{100 * read / all_of_it:.1f} %" if all_of_it else "-"
    redo = proof["redo"]["bytes"] if proof["redo"] else "-"
    tell(
        f"{what}: {proof['state']}, level {proof['reached']} of {proof['level']}, {read} of {all_of_it} blocks "
        f"({share}), {proof['seconds']} s, ${proof['cost_usd']}, redo {redo} bytes; {proof['reason']}"
    )


def last_in(proof: dict[str, Any]) -> int:
    return next(
        int(line.split()[1]) for line in proof["output"].splitlines() if line.startswith("last ")
    )


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
        _recipe(product.folder, "mariadb-client-on-server", settings)
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
        _recipe(product.folder, "postgresql-client-on-server", settings)
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
