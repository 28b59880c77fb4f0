"""The blocks of snapshots: AWS simulated with real images, and the twin in memory."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from n2wbackup.demo.aws import SimulatedAws, VolumeSpec
from policies.adapters.ebs import EbsBlocks
from policies.adapters.memory_blocks import MemoryBlocks, MemorySnapshot
from policies.domain.errors import (
    ImageNotPossibleError,
    NotFoundError,
    NotPermittedError,
    RejectedError,
    UnreachableError,
)
from policies.ports import Credentials
from policies.ports.blocks import BLOCK_BYTES, Blocks
from tests.contract.aws_clients import ec2
from tests.contract.clouds import enter

REGION = "us-east-1"
SIZE = 64 * 1024**2
MANY = 250


@dataclass(frozen=True, slots=True)
class Ground:
    """Two snapshots of a volume, one of another, one that is pending, and one that does not exist."""

    blocks: Blocks
    first: str
    second: str
    other: str
    pending: str


def write(image: Path, blocks: dict[int, bytes]) -> None:
    with image.open("r+b") as file:
        for index, data in blocks.items():
            os.pwrite(file.fileno(), data, index * BLOCK_BYTES)


def image(folder: Path, name: str = "image") -> Path:
    made = folder / name
    with made.open("wb") as file:
        file.truncate(SIZE)
    write(made, FIRST)
    return made


FIRST = {0: b"begin" * 1000, 3: os.urandom(BLOCK_BYTES), 127: b"end"}
SECOND = {3: b"other", 5: b"new"}


def snapshot(aws: SimulatedAws, volume_id: str) -> str:
    made: str = ec2(aws).create_snapshot(VolumeId=volume_id)["SnapshotId"]
    return made


def memory_ground() -> Ground:
    two = {**FIRST, 5: SECOND[5], 3: SECOND[3] + FIRST[3][len(SECOND[3]) :]}
    other = MemorySnapshot({0: b"x"}, volume_id="vol-00000000000000002")
    pending = MemorySnapshot({}, why_not="It is pending.")
    found = {"a": MemorySnapshot(FIRST), "b": MemorySnapshot(two), "c": other, "d": pending}
    return Ground(MemoryBlocks(found), "a", "b", "c", "d")


def simulated_ground(aws: SimulatedAws, folder: Path) -> Ground:
    aws.configure(per_volume_interval_seconds=0, pending_seconds=0)
    disk = image(folder)
    volume = aws.add_volume(volume=VolumeSpec(backing=disk))
    other = aws.add_volume(volume=VolumeSpec(backing=image(folder, "other")))
    first = snapshot(aws, volume)
    write(disk, SECOND)
    second, third = snapshot(aws, volume), snapshot(aws, other)
    aws.configure(pending_seconds=600)
    return Ground(EbsBlocks(Credentials()), first, second, third, snapshot(aws, other))


@pytest.fixture
def simulated(
    simulated_aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Ground:
    enter(simulated_aws, monkeypatch, tmp_path)
    folder = tmp_path / "disks"
    folder.mkdir()
    return simulated_ground(simulated_aws, folder)


@pytest.fixture(params=["memory", "ebs"])
def ground(request: pytest.FixtureRequest) -> Ground:
    found: Ground = (
        memory_ground() if request.param == "memory" else request.getfixturevalue("simulated")
    )
    return found


def test_written_blocks_are_listed_and_read(ground: Ground) -> None:
    found = ground.blocks.listed(REGION, ground.first)
    rows = dict(found.blocks)
    assert (found.volume_gib, found.block_bytes, sorted(rows)) == (1, BLOCK_BYTES, [0, 3, 127])
    for index, data in FIRST.items():
        read = ground.blocks.read(REGION, ground.first, index, rows[index])
        assert (read[: len(data)], len(read)) == (data, BLOCK_BYTES)


def test_a_list_begins_where_it_is_told_to(ground: Ground) -> None:
    assert [index for index, _ in ground.blocks.listed(REGION, ground.second, start=4).blocks] == [
        5,
        127,
    ]
    assert list(ground.blocks.listed(REGION, ground.second, start=128).blocks) == []


def test_what_changed_between_two_snapshots(ground: Ground) -> None:
    assert list(ground.blocks.changed(REGION, ground.first, ground.second)) == [3, 5]
    assert list(ground.blocks.changed(REGION, "", ground.second)) == [0, 3, 5, 127]
    with pytest.raises(RejectedError):
        list(ground.blocks.changed(REGION, ground.first, ground.other))


def test_a_token_is_for_one_block_of_one_snapshot(ground: Ground) -> None:
    rows = dict(ground.blocks.listed(REGION, ground.first).blocks)
    for snapshot_id, index in ((ground.first, 0), (ground.other, 3)):
        with pytest.raises(RejectedError):
            ground.blocks.read(REGION, snapshot_id, index, rows[3])


def test_a_snapshot_that_is_pending_or_unknown_cannot_be_read(ground: Ground) -> None:
    with pytest.raises(ImageNotPossibleError):
        ground.blocks.listed(REGION, ground.pending)
    with pytest.raises(NotFoundError):
        ground.blocks.listed(REGION, "snap-0123456789abcdef0")


# What only AWS does


def quick(seconds: float = 2.0) -> EbsBlocks:
    return EbsBlocks(Credentials(), seconds)


def one(blocks: Blocks, snapshot_id: str) -> tuple[int, str]:
    return next(blocks.listed(REGION, snapshot_id).blocks)


def test_long_lists_come_in_pages(simulated: Ground, aws: SimulatedAws, tmp_path: Path) -> None:
    aws.configure(pending_seconds=0)
    many = image(tmp_path, "many")
    with many.open("r+b") as file:
        file.truncate(MANY * BLOCK_BYTES)
    write(many, dict.fromkeys(range(MANY), b"x"))
    made = snapshot(aws, aws.add_volume(volume=VolumeSpec(backing=many)))
    aws._ask("forget_calls")
    rows = list(quick().listed(REGION, made, page=100).blocks)
    assert [index for index, _ in rows] == list(range(MANY))
    assert len(aws.calls("ListSnapshotBlocks")) == 6  # every other one is empty


@pytest.mark.parametrize(
    "fault", ["throttle", "error_500", "lost_answer", "wrong_bytes", "short_block"]
)
def test_a_failed_read_is_tried_again(simulated: Ground, aws: SimulatedAws, fault: str) -> None:
    blocks = quick(20)
    index, token = one(blocks, simulated.first)
    aws.fault("GetSnapshotBlock", fault, times=2)  # type: ignore[arg-type]
    assert blocks.read(REGION, simulated.first, index, token).startswith(FIRST[0])
    assert len(aws.calls("GetSnapshotBlock")) == 3


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("error_500", UnreachableError),
        ("wrong_bytes", RejectedError),
        ("short_block", RejectedError),
    ],
)
def test_trying_again_has_an_end(
    simulated: Ground, aws: SimulatedAws, fault: str, error: type[Exception]
) -> None:
    blocks = quick(1)
    index, token = one(blocks, simulated.first)
    aws.fault("GetSnapshotBlock", fault, times=None)  # type: ignore[arg-type]
    begun = time.monotonic()
    with pytest.raises(error, match=r"^GetSnapshotBlock of block 0 of snap-"):
        blocks.read(REGION, simulated.first, index, token)
    assert time.monotonic() - begun < 2


def test_an_expired_token_is_refused(simulated: Ground, aws: SimulatedAws) -> None:
    aws.configure(block_token_seconds=-1)
    index, token = one(quick(), simulated.first)
    with pytest.raises(RejectedError, match="block token"):
        quick().read(REGION, simulated.first, index, token)


def test_an_expired_page_is_refused(simulated: Ground, aws: SimulatedAws) -> None:
    aws.configure(page_token_seconds=-1)
    with pytest.raises(RejectedError, match="page token"):
        one(quick(), simulated.first)


@pytest.mark.parametrize("action", ["ListSnapshotBlocks", "GetSnapshotBlock", "ListChangedBlocks"])
def test_a_missing_permission_is_named(simulated: Ground, aws: SimulatedAws, action: str) -> None:
    deeds: dict[str, Callable[[Blocks], object]] = {
        "ListSnapshotBlocks": lambda each: one(each, simulated.first),
        "GetSnapshotBlock": lambda each: each.read(
            REGION, simulated.first, *one(each, simulated.first)
        ),
        "ListChangedBlocks": lambda each: list(
            each.changed(REGION, simulated.first, simulated.second)
        ),
    }
    allowed = {*deeds} - {action}
    aws.add_account("AKIAFEW", "secret", [f"ebs:{each}" for each in allowed])
    with pytest.raises(NotPermittedError) as raised:
        deeds[action](EbsBlocks(Credentials("AKIAFEW", "secret"), 2))
    assert raised.value.permission == f"ebs:{action}"


def test_a_key_that_forbids_decryption_is_named(
    simulated: Ground, aws: SimulatedAws, tmp_path: Path
) -> None:
    aws.configure(pending_seconds=0)
    volume = aws.add_volume(volume=VolumeSpec(backing=image(tmp_path, "locked"), encrypted=True))
    made = snapshot(aws, volume)
    assert one(quick(), made)[0] == 0
    aws.configure(kms_denied=True)
    with pytest.raises(NotPermittedError, match=r"kms:Decrypt in the key's policy"):
        one(quick(), made)


def test_a_copy_keeps_the_holes_of_an_image(simulated: Ground, aws: SimulatedAws) -> None:
    copy = next(each.copy for each in aws.snapshots() if each.snapshot_id == simulated.first)
    assert copy is not None
    assert (copy.stat().st_size, copy.stat().st_blocks * 512 < 3 * BLOCK_BYTES) == (SIZE, True)
