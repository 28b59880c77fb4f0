"""One suite for every `Copies`: the one in memory, and EC2's against a simulated AWS."""

from pathlib import Path
from typing import Literal, Protocol

import pytest

from n2wbackup.demo.aws import SimulatedAws, VolumeSpec
from policies.adapters.clients import Clients
from policies.adapters.copying import Ec2Copies
from policies.adapters.ec2 import Ec2Cloud
from policies.adapters.ec2_removing import Ec2Removing
from policies.adapters.memory import MemoryCloud
from policies.adapters.memory_copies import World
from policies.adapters.memory_removing import MemoryRemoving
from policies.domain.errors import (
    AnswerLostError,
    AwsError,
    NotFoundError,
    NotPermittedError,
    RejectedError,
    ThrottledError,
)
from policies.ports import Cloud, Credentials, FireRequest
from policies.ports.copies import Copies, CopyRequest
from policies.ports.removing import Removing
from tests.contract.clouds import enter

HERE, THERE = "us-east-1", "eu-central-1"
OTHER = "210987654321"
TAGS = {"n2wbackup:server": "a-server", "n2wbackup:copy": "a-copy"}


class Ground(Protocol):
    """Two accounts; the first has snapshots in `HERE`."""

    own: Copies
    other: Copies
    deleting: Removing
    others_deleting: Removing
    cloud: Cloud

    def snapshot(self, *, default_key: bool = False) -> str: ...
    def settle(self, state: Literal["completed", "error"] = "completed") -> None: ...
    def fail(self, kind: str) -> None: ...
    def limit(self, number: int) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self.world = World()
        self.memory, self.stranger = MemoryCloud(), MemoryCloud(OTHER)
        self.copies = self.world.add(self.memory)
        self.own: Copies = self.copies
        self.other: Copies = self.world.add(self.stranger)
        self.deleting: Removing = MemoryRemoving(self.memory)
        self.others_deleting: Removing = MemoryRemoving(self.stranger)
        self.cloud: Cloud = self.memory

    def snapshot(self, *, default_key: bool = False) -> str:
        volume = self.memory.add_volume(HERE).volume_id
        (made,) = self.memory.fire(FireRequest(HERE, {}, "x", volume_id=volume), 10)
        self.memory.advance()
        if default_key:
            self.world.unshareable.add(made.snapshot_id)
        return made.snapshot_id

    def settle(self, state: Literal["completed", "error"] = "completed") -> None:
        self.memory.advance(state)
        self.stranger.advance(state)

    def fail(self, kind: str) -> None:
        errors: dict[str, AwsError] = {
            "throttle": ThrottledError("Too often."),
            "denied": NotPermittedError("Denied."),
            "lost_answer": AnswerLostError("Lost."),
        }
        self.copies.fail_next("copy", errors[kind], done=kind == "lost_answer")

    def limit(self, number: int) -> None:
        self.world.copies_at_once = number


class Simulated:
    def __init__(self, aws: SimulatedAws) -> None:
        self.aws = aws
        aws.configure(copy_seconds=3600)
        aws.add_account("AKIAOTHERACCOUNT0001", "a-secret", number=OTHER)
        own = Clients(Credentials())
        other = Clients(Credentials("AKIAOTHERACCOUNT0001", "a-secret"))
        self.own: Copies = Ec2Copies(own)
        self.other: Copies = Ec2Copies(other)
        self.deleting: Removing = Ec2Removing(own)
        self.others_deleting: Removing = Ec2Removing(other)
        self.cloud: Cloud = Ec2Cloud(own)

    def snapshot(self, *, default_key: bool = False) -> str:
        volume = self.aws.add_instance(HERE, [VolumeSpec(encrypted=default_key)]).volume_ids[0]
        (made,) = self.cloud.fire(FireRequest(HERE, {}, "x", volume_id=volume), 10)
        self.aws.settle_snapshots()
        return made.snapshot_id

    def settle(self, state: Literal["completed", "error"] = "completed") -> None:
        self.aws.settle_snapshots(state)

    def fail(self, kind: str) -> None:
        self.aws.fault("CopySnapshot", kind)  # type: ignore[arg-type]

    def limit(self, number: int) -> None:
        self.aws.configure(copies_at_once=number)


@pytest.fixture(params=["memory", "ec2"])
def ground(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Ground:
    if request.param == "memory":
        return InMemory()
    aws = request.getfixturevalue("simulated_aws")
    enter(aws, monkeypatch, tmp_path)
    return Simulated(aws)


def wanted(snapshot_id: str, key: str = "", minutes: int = 0) -> CopyRequest:
    return CopyRequest(THERE, HERE, snapshot_id, TAGS, "a copy", key, minutes)


def test_a_copy_is_a_snapshot_of_another_region_with_its_tags(ground: Ground) -> None:
    made = ground.own.copy(wanted(ground.snapshot()))

    (pending,) = ground.own.tagged(THERE, "n2wbackup:copy", "a-copy")
    assert (pending.snapshot_id, pending.state, pending.tags) == (made, "pending", TAGS)
    assert pending.volume_id == "vol-ffffffff"
    assert ground.own.tagged(HERE, "n2wbackup:copy", "a-copy") == []
    ground.settle()
    assert ground.cloud.describe(THERE, [made])[made].state == "completed"


def test_each_call_makes_another_copy(ground: Ground) -> None:
    request = wanted(ground.snapshot())
    assert ground.own.copy(request) != ground.own.copy(request)
    assert len(ground.own.tagged(THERE, "n2wbackup:copy")) == 2


def test_a_copy_may_end_in_an_error(ground: Ground) -> None:
    made = ground.own.copy(wanted(ground.snapshot()))
    ground.settle("error")
    found = ground.cloud.describe(THERE, [made])[made]
    assert found.state == "error"
    assert found.message


def test_another_account_copies_what_is_shared_with_it_and_nothing_else(ground: Ground) -> None:
    snapshot_id = ground.snapshot()
    with pytest.raises(NotFoundError, match=snapshot_id):
        ground.other.copy(wanted(snapshot_id))

    ground.own.share(HERE, snapshot_id, OTHER)
    made = ground.other.copy(wanted(snapshot_id))

    assert [s.snapshot_id for s in ground.other.tagged(THERE, "n2wbackup:copy")] == [made]
    assert ground.own.tagged(THERE, "n2wbackup:copy") == []
    ground.own.unshare(HERE, snapshot_id, OTHER)
    ground.own.unshare(HERE, snapshot_id, OTHER)
    with pytest.raises(NotFoundError, match=snapshot_id):
        ground.other.copy(wanted(snapshot_id))


def test_what_another_account_has_is_neither_shared_nor_deleted(ground: Ground) -> None:
    snapshot_id = ground.snapshot()
    ground.own.share(HERE, snapshot_id, OTHER)
    with pytest.raises(NotFoundError, match=snapshot_id):
        ground.other.share(HERE, snapshot_id, OTHER)
    with pytest.raises(NotFoundError, match=snapshot_id):
        ground.others_deleting.delete(HERE, snapshot_id)
    assert list(ground.cloud.describe(HERE, [snapshot_id])) == [snapshot_id]


def test_a_snapshot_with_the_default_key_cannot_be_shared(ground: Ground) -> None:
    with pytest.raises(RejectedError, match="default key"):
        ground.own.share(HERE, ground.snapshot(default_key=True), OTHER)


def test_a_copy_is_deleted_once(ground: Ground) -> None:
    made = ground.own.copy(wanted(ground.snapshot()))
    ground.settle()
    with pytest.raises(NotFoundError):
        ground.deleting.delete(HERE, made)
    ground.deleting.delete(THERE, made)
    assert ground.own.tagged(THERE, "n2wbackup:copy") == []
    with pytest.raises(NotFoundError):
        ground.deleting.delete(THERE, made)


@pytest.mark.parametrize("minutes", [1, 14, 16, 2_895])
def test_a_time_that_aws_does_not_sell_is_refused(ground: Ground, minutes: int) -> None:
    with pytest.raises(RejectedError):
        ground.own.copy(wanted(ground.snapshot(), minutes=minutes))
    assert ground.own.tagged(THERE, "n2wbackup:copy") == []


def test_a_time_and_a_key_are_taken(ground: Ground) -> None:
    key = "arn:aws:kms:eu-central-1:123456789012:key/0b7e7c9a"
    assert ground.own.copy(wanted(ground.snapshot(), key, 15))


def test_too_many_at_once_are_refused_with_aws_s_code(ground: Ground) -> None:
    request = wanted(ground.snapshot())
    ground.limit(1)
    ground.own.copy(request)
    with pytest.raises(AwsError) as refused:
        ground.own.copy(request)
    assert refused.value.code == "ResourceLimitExceeded"


@pytest.mark.parametrize(
    ("kind", "error", "made"),
    [
        ("throttle", ThrottledError, 0),
        ("denied", NotPermittedError, 0),
        ("lost_answer", AnswerLostError, 1),
    ],
)
def test_faults_are_told_apart_and_a_call_is_made_once(
    ground: Ground, kind: str, error: type[AwsError], made: int
) -> None:
    request = wanted(ground.snapshot())
    ground.fail(kind)
    with pytest.raises(error):
        ground.own.copy(request)
    assert len(ground.own.tagged(THERE, "n2wbackup:copy", "a-copy")) == made


def test_only_the_tag_counts(ground: Ground) -> None:
    ground.snapshot()
    assert ground.own.tagged(HERE, "n2wbackup:copy") == []
    made = ground.own.copy(wanted(ground.snapshot()))
    assert ground.own.tagged(THERE, "n2wbackup:copy", "another") == []
    assert [s.snapshot_id for s in ground.own.tagged(THERE, "n2wbackup:server", "a-server")] == [
        made
    ]
