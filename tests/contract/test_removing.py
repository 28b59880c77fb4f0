"""One suite for every `Removing`: the one in memory, and EC2's against a simulated AWS."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest

from n2wbackup.demo.aws import SimulatedAws
from n2wbackup.lib import clock
from policies.adapters.clients import Clients
from policies.adapters.ec2_removing import Ec2Removing
from policies.adapters.limits import SERVER_TAG
from policies.adapters.memory_removing import MemoryRemoving
from policies.domain.errors import (
    InUseError,
    NotFoundError,
    NotPermittedError,
    RejectedError,
    ThrottledError,
    UnreachableError,
)
from policies.ports import Cloud, Credentials
from policies.ports.removing import Removing
from tests.contract.clouds import (
    REGION,
    SECONDS,
    SERVER,
    Ground,
    MemoryGround,
    SimulatedGround,
    enter,
    wanted,
)

NOWHERE = "snap-0123456789abcdef0"
DAY = timedelta(days=1)


class RemovingGround(Protocol):
    """The set-up of a test around what deletes."""

    removing: Removing
    ground: Ground

    def add_image(self, snapshot_ids: Sequence[str], tags: Mapping[str, str]) -> str: ...
    def keep_in_bin(self) -> None: ...
    def lose_answer_of_delete(self) -> None: ...
    def throttle_delete(self) -> None: ...
    def date(self, snapshot_ids: Sequence[str]) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self.memory = MemoryGround()
        self.ground: Ground = self.memory
        self.fake = MemoryRemoving(self.memory.memory)
        self.removing: Removing = self.fake

    def add_image(self, snapshot_ids: Sequence[str], tags: Mapping[str, str]) -> str:
        return self.fake.add_image(REGION, snapshot_ids, tags)

    def keep_in_bin(self) -> None:
        self.fake.bin_keeps = timedelta(hours=1)

    def lose_answer_of_delete(self) -> None:
        self.fake.fail_next("delete", UnreachableError("Lost."), done=True)

    def throttle_delete(self) -> None:
        self.fake.fail_next("delete", ThrottledError("Too often."))

    def date(self, snapshot_ids: Sequence[str]) -> None:
        """Let them have been begun now: in memory, nobody says when a snapshot was."""
        cloud = self.memory.memory
        for made in cloud.describe(REGION, snapshot_ids).values():
            cloud.keep(REGION, replace(made, started_at=clock.now()))


class Simulated:
    def __init__(self, aws: SimulatedAws) -> None:
        self.aws = aws
        self.ground: Ground = SimulatedGround(aws)
        self.removing: Removing = Ec2Removing(Clients(Credentials()))

    def add_image(self, snapshot_ids: Sequence[str], tags: Mapping[str, str]) -> str:
        return self.aws.add_image(snapshot_ids, tags, REGION)

    def keep_in_bin(self) -> None:
        self.aws.configure(recycle_bin_seconds=3600)

    def lose_answer_of_delete(self) -> None:
        self.aws.fault("DeleteSnapshot", "lost_answer", times=3)  # the SDK asks three times

    def throttle_delete(self) -> None:
        self.aws.fault("DeleteSnapshot", "throttle", times=3)

    def date(self, snapshot_ids: Sequence[str]) -> None:
        """The simulated AWS knows."""


@pytest.fixture(params=["memory", "ec2"])
def of(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> RemovingGround:
    if request.param == "memory":
        return InMemory()
    aws = request.getfixturevalue("simulated_aws")
    enter(aws, monkeypatch, tmp_path)
    return Simulated(aws)


@pytest.fixture
def cloud(of: RemovingGround) -> Cloud:
    return of.ground.cloud


@pytest.fixture
def snapshots(of: RemovingGround, cloud: Cloud) -> list[str]:
    """Give the completed snapshots of an instance, its root's first."""
    instance_id, *_ = of.ground.add_instance(volumes=2)
    made = cloud.fire(wanted(instance_id), SECONDS)
    of.ground.settle("completed")
    return [each.snapshot_id for each in made]


def there(cloud: Cloud) -> set[str]:
    return {each.snapshot_id for each in cloud.of_server(REGION, SERVER)}


def test_a_deleted_snapshot_is_gone_and_the_others_stay(
    of: RemovingGround, cloud: Cloud, snapshots: list[str]
) -> None:
    of.removing.delete(REGION, snapshots[0])

    assert there(cloud) == {snapshots[1]}
    assert of.removing.in_bin_until(REGION, snapshots[0]) is None
    with pytest.raises(NotFoundError, match=snapshots[0]):
        of.removing.delete(REGION, snapshots[0])


@pytest.mark.parametrize("wrong", [NOWHERE, "nonsense"])
def test_what_does_not_exist_is_not_found(of: RemovingGround, wrong: str) -> None:
    removing, until = of.removing, clock.now() + 2 * DAY
    for deed in (
        lambda: removing.delete(REGION, wrong),
        lambda: removing.take_back(REGION, wrong),
        lambda: removing.lock(REGION, wrong, "governance", until),
        lambda: removing.unlock(REGION, wrong),
        lambda: removing.deregister(REGION, "ami-0123456789abcdef0"),
    ):
        with pytest.raises(NotFoundError):
            deed()
    assert removing.in_bin_until(REGION, wrong) is None
    assert removing.images_of(REGION, [wrong]) == []


def test_snapshots_are_found_by_their_day_and_one_of_several_servers(
    of: RemovingGround, cloud: Cloud, snapshots: list[str]
) -> None:
    of.date(snapshots)
    row = cloud.describe(REGION, snapshots[:1])[snapshots[0]]
    assert row.started_at is not None
    day, others = row.started_at.date(), [str(number) for number in range(250)]

    def made(values: Sequence[str], days: Sequence[date]) -> set[str]:
        found = of.removing.made_on(REGION, SERVER_TAG, values, days)
        assert all(each.started_at and each.tags for each in found)
        return {each.snapshot_id for each in found}

    assert made([SERVER], [day]) == set(snapshots)
    assert made([*others, SERVER], [day - DAY, day]) == set(snapshots)
    assert made(others, [day]) == set()
    assert made([SERVER], [day - DAY, day + DAY]) == set()
    assert of.removing.made_on("eu-west-1", SERVER_TAG, [SERVER], [day]) == []


def test_a_snapshot_is_deleted_only_in_its_region(
    of: RemovingGround, cloud: Cloud, snapshots: list[str]
) -> None:
    with pytest.raises(NotFoundError):
        of.removing.delete("eu-west-1", snapshots[0])
    assert there(cloud) == {*snapshots}


def test_an_ami_keeps_the_snapshot_that_it_boots_from_until_it_is_deregistered(
    of: RemovingGround, cloud: Cloud, snapshots: list[str]
) -> None:
    image_id = of.add_image(snapshots, {"n2wbackup:server": SERVER})
    (image,) = of.removing.images_of(REGION, snapshots[1:])
    assert (image.image_id, image.snapshot_ids) == (image_id, tuple(snapshots))
    assert image.tags == {"n2wbackup:server": SERVER}

    with pytest.raises(InUseError, match=image_id):
        of.removing.delete(REGION, snapshots[0])
    assert there(cloud) == {*snapshots}

    of.removing.deregister(REGION, image_id)
    assert of.removing.images_of(REGION, snapshots) == []
    of.removing.delete(REGION, snapshots[0])
    assert there(cloud) == {snapshots[1]}


def test_aws_does_not_protect_the_data_volumes_of_an_ami(
    of: RemovingGround, cloud: Cloud, snapshots: list[str]
) -> None:
    of.add_image(snapshots, {})
    of.removing.delete(REGION, snapshots[1])
    assert there(cloud) == {snapshots[0]}


def test_an_ami_that_is_disabled_needs_its_snapshots_as_well(aws: SimulatedAws) -> None:
    ground = Simulated(aws)
    instance_id, *_ = ground.ground.add_instance(volumes=2)
    made = [each.snapshot_id for each in ground.ground.cloud.fire(wanted(instance_id), SECONDS)]
    ground.ground.settle("completed")
    image_id = aws.add_image(made, {}, REGION, disabled=True)
    (image,) = ground.removing.images_of(REGION, made[1:])
    assert (image.image_id, image.snapshot_ids) == (image_id, tuple(made))


def test_what_is_in_the_recycle_bin_comes_back_with_its_tags(
    of: RemovingGround, cloud: Cloud, snapshots: list[str]
) -> None:
    of.keep_in_bin()
    of.removing.delete(REGION, snapshots[0])
    assert there(cloud) == {snapshots[1]}
    until = of.removing.in_bin_until(REGION, snapshots[0])
    assert until is not None
    assert timedelta() < until - clock.now() <= timedelta(hours=1)

    of.removing.take_back(REGION, snapshots[0])

    assert there(cloud) == {*snapshots}
    assert of.removing.in_bin_until(REGION, snapshots[0]) is None
    with pytest.raises(NotFoundError):
        of.removing.take_back(REGION, snapshots[0])


def test_a_locked_snapshot_is_not_deleted_until_it_is_unlocked(
    of: RemovingGround, cloud: Cloud, snapshots: list[str]
) -> None:
    for until in (clock.now() + 2 * DAY, clock.now() + 1.1 * DAY):  # governance may be shortened
        of.removing.lock(REGION, snapshots[0], "governance", until)
        with pytest.raises(RejectedError):
            of.removing.delete(REGION, snapshots[0])
    assert there(cloud) == {*snapshots}

    of.removing.unlock(REGION, snapshots[0])
    with pytest.raises(RejectedError):
        of.removing.unlock(REGION, snapshots[0])
    of.removing.delete(REGION, snapshots[0])
    assert there(cloud) == {snapshots[1]}


@pytest.mark.parametrize("hours", [0, 5])
def test_a_compliance_lock_can_be_taken_away_only_while_it_cools_off(
    of: RemovingGround, snapshots: list[str], hours: int
) -> None:
    until = clock.now() + 3 * DAY
    of.removing.lock(REGION, snapshots[0], "compliance", until, hours)
    if hours:
        of.removing.unlock(REGION, snapshots[0])
        of.removing.delete(REGION, snapshots[0])
        return
    of.removing.lock(REGION, snapshots[0], "compliance", until + DAY)  # longer is allowed
    for deed in (
        lambda: of.removing.unlock(REGION, snapshots[0]),
        lambda: of.removing.lock(REGION, snapshots[0], "compliance", until),
        lambda: of.removing.lock(REGION, snapshots[0], "governance", until + 2 * DAY),
        lambda: of.removing.delete(REGION, snapshots[0]),
    ):
        with pytest.raises(RejectedError):
            deed()


def test_a_lock_lasts_at_least_a_day(of: RemovingGround, snapshots: list[str]) -> None:
    soon: datetime = clock.now() + timedelta(hours=3)
    with pytest.raises(RejectedError):
        of.removing.lock(REGION, snapshots[0], "governance", soon)
    of.removing.delete(REGION, snapshots[0])


def test_a_lost_answer_leaves_it_deleted_and_a_throttled_one_leaves_it(
    of: RemovingGround, cloud: Cloud, snapshots: list[str]
) -> None:
    of.throttle_delete()
    with pytest.raises(ThrottledError):
        of.removing.delete(REGION, snapshots[0])
    assert there(cloud) == {*snapshots}

    of.lose_answer_of_delete()
    # The SDK may have asked again by itself, and heard then that it is gone.
    with pytest.raises((UnreachableError, NotFoundError)):
        of.removing.delete(REGION, snapshots[0])
    assert there(cloud) == {snapshots[1]}


def test_a_denied_action_is_named(aws: SimulatedAws) -> None:
    aws.fault("DeleteSnapshot", "denied")
    with pytest.raises(NotPermittedError) as caught:
        Ec2Removing(Clients(Credentials())).delete(REGION, NOWHERE)
    assert caught.value.permission == "ec2:DeleteSnapshot"
