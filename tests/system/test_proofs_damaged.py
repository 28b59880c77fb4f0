"""Snapshots damaged on purpose, and workers killed in the middle: each proof says the truth, and nothing is left."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from n2wbackup.demo.aws import VolumeSpec
from tests.ground import components, filesystems, mariadb
from tests.system.product import LABEL, Product, serving
from tests.system.proof_runs import LET_OPEN

pytest_plugins = ("tests.ground.fixtures",)
pytestmark = [pytest.mark.real, pytest.mark.timeout(900), pytest.mark.lasts(60)]

PAGE = 16 * 1024  # of InnoDB


@pytest.fixture(scope="module")
def product(
    ground_folder: Path, disks: filesystems.Volume, data_volume: filesystems.Volume
) -> Iterator[Product]:
    """A server whose policy backs up an encrypted data volume, and whose before writes the mark on it."""
    components.program("nbdkit")
    copies = disks.mount / "damaged"
    copies.mkdir(exist_ok=True)
    home = ground_folder / "product-of-damage"
    home.mkdir()
    disk = VolumeSpec(backing=data_volume.image, copy_to=copies, encrypted=True)
    with serving(home / "home", home, volumes=[VolumeSpec(), disk]) as served:
        served.succeed("shell", "--command", LET_OPEN)
        mount = data_volume.mount
        served.scripts(
            before=f'echo "$N2W_MARK $EPOCHSECONDS" > {mount}/n2wbackup_marks; sync -f {mount}'
        )
        yield served
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def run(product: Product, database: mariadb.Server) -> dict[str, Any]:
    """A backup of a quiet database."""
    assert database.sql("SELECT 1") == [["1"]]
    done = product.manage("run_policy", LABEL, "--wait", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def image(product: Product, run: dict[str, Any]) -> Iterator[Path]:
    """The disk of the snapshot, as it was before the test and will be after it."""
    made = [each for each in product.aws.snapshots() if each.tags["n2wbackup:run"] == run["id"]]
    copy = next(each.copy for each in made if each.copy)
    kept = filesystems.clone(copy, copy.with_suffix(".kept"))
    yield copy
    kept.replace(copy)


def proven(product: Product, run: dict[str, Any], *words: str) -> dict[str, Any]:
    done = product.manage("prove", run["id"], *words, "--json")
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def extents(path: Path) -> list[tuple[int, int]]:
    """Return where a file's bytes are on its disk: offset and length."""
    os.sync()
    program = components.program("filefrag")
    done = subprocess.run(
        [program, "-v", "-b512", path], check=True, capture_output=True, text=True
    )
    rows = re.findall(r"^ *\d+: +\d+\.\. *\d+: +(\d+)\.\. *\d+: +(\d+):", done.stdout, re.MULTILINE)
    return [(int(start) * 512, int(count) * 512) for start, count in rows]


def swap(image: Path, first: int, second: int, size: int) -> None:
    with image.open("r+b") as file:
        one, other = (_read(file.fileno(), at, size) for at in (first, second))
        os.pwrite(file.fileno(), other, first)
        os.pwrite(file.fileno(), one, second)


def _read(file: int, at: int, size: int) -> bytes:
    return os.pread(file, size, at)


def test_what_is_whole_passes(product: Product, run: dict[str, Any], image: Path) -> None:
    proof = proven(product, run, "--level", "3", "--recipe", "mariadb")
    assert (proof["state"], proof["reached"]) == ("failed", 2)  # the mark is a file
    assert image.exists()
    proof = proven(product, run, "--level", "3", "--recipe", "files")
    assert (proof["state"], proof["reached"], proof["mark"]) == ("passed", 3, "found"), proof


def test_another_file_system_fails_at_level_1(
    product: Product, run: dict[str, Any], image: Path
) -> None:
    with image.open("r+b") as file:
        file.write(b"\xeb\x58\x90mkfs.fat".ljust(82, b"\0") + b"FAT32   ")

    proof = proven(product, run, "--level", "2", "--recipe", "mariadb")

    assert (proof["state"], proof["reached"]) == ("failed", 0)
    assert "only ext4 and XFS are opened" in proof["reason"]


def test_a_truncated_disk_fails_at_level_1(
    product: Product, run: dict[str, Any], image: Path
) -> None:
    size = image.stat().st_size
    os.truncate(image, size // 4)
    os.truncate(image, size)

    proof = proven(product, run, "--level", "2", "--recipe", "mariadb")

    assert (proof["state"], proof["reached"]) == ("failed", 0)
    assert proof["reason"].startswith("Level 1 (mounts) failed: ")


def test_swapped_blocks_of_the_file_system_fail_at_level_1(
    product: Product, run: dict[str, Any], image: Path
) -> None:
    quarter = image.stat().st_size // 4  # an XFS of this size has four groups, each with a header
    swap(image, quarter, 2 * quarter, 4096)

    proof = proven(product, run, "--level", "2", "--recipe", "mariadb")

    assert (proof["state"], proof["reached"]) == ("failed", 0)
    assert proof["reason"].startswith("Level 1 (mounts) failed: ")


def test_swapped_blocks_of_the_database_fail_at_level_2(
    product: Product, run: dict[str, Any], image: Path, database: mariadb.Server
) -> None:
    start, length = extents(database.data / "ibdata1")[0]
    assert length >= 8 * PAGE
    swap(image, start + 5 * PAGE, start + 7 * PAGE, PAGE)  # transactions, and the dictionary

    proof = proven(product, run, "--level", "2", "--recipe", "mariadb")

    assert (proof["state"], proof["reached"]) == ("failed", 1), proof
    assert proof["reason"].startswith("Level 2 (starts) failed: it ended by itself: ")
    assert "[ERROR]" in proof["output"]


def test_a_key_that_forbids_it_is_not_possible_and_says_what_is_missing(
    product: Product, run: dict[str, Any]
) -> None:
    product.aws.configure(kms_denied=True)
    try:
        proof = proven(product, run, "--level", "1")
    finally:
        product.aws.configure(kms_denied=False)

    assert (proof["state"], proof["reached"]) == ("not_possible", -1)
    assert "kms:Decrypt" in proof["reason"]


def test_bytes_that_do_not_fit_their_checksum_fail_at_level_0(
    product: Product, run: dict[str, Any]
) -> None:
    product.aws.fault("GetSnapshotBlock", "wrong_bytes", times=1000)
    try:
        proof = proven(product, run, "--level", "0")
    finally:
        product.aws.clear_faults()

    assert (proof["state"], proof["reached"]) == ("failed", -1)
    assert "checksum" in proof["reason"]
