"""What recoveries make, as every `Making` does it: one suite for the memory and for EC2 before the simulated AWS."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from n2wbackup.lib import clock
from policies.domain.errors import NotFoundError, RejectedError
from policies.ports.making import ImageOrder, LaunchOrder, Made, RootOrder, VolumeOrder
from tests.contract.clouds import REGION, SECONDS, enter, wanted
from tests.contract.makings import (
    OURS,
    ZONE,
    MemoryWorkshop,
    SimulatedWorkshop,
    Workshop,
    device_of,
    instance,
    is_state,
    snapshots,
    until,
    volume,
)

ABSENT = "0fedcba9876543210"


@pytest.fixture(params=["memory", "ec2"])
def shop(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Workshop:
    if request.param == "memory":
        return MemoryWorkshop()
    aws = request.getfixturevalue("simulated_aws")
    enter(aws, monkeypatch, tmp_path)
    return SimulatedWorkshop(aws)


def order(snapshot_id: str, token: str = "a-token", zone: str = ZONE) -> VolumeOrder:
    return VolumeOrder(REGION, snapshot_id, zone, token, OURS, "gp3", 4000, 250)


def made_volume(shop: Workshop, snapshot_id: str) -> str:
    made = shop.making.create_volume(order(snapshot_id))
    until(lambda: is_state(shop, made, "available"))
    return made


def stopped(shop: Workshop, instance_id: str) -> None:
    shop.making.stop(REGION, instance_id)
    until(lambda: is_state(shop, instance_id, "stopped"))


def test_a_volume_is_made_once_however_often_it_is_asked_for(shop: Workshop) -> None:
    instance_id, root, _ = shop.add_instance()
    of = snapshots(shop, instance_id)

    first = shop.making.create_volume(order(of[root]))
    assert shop.making.create_volume(order(of[root])) == first
    with pytest.raises(RejectedError) as refused:
        shop.making.create_volume(replace(order(of[root]), volume_type="gp2", iops=0, throughput=0))

    assert refused.value.code == "IdempotentParameterMismatch"
    until(lambda: is_state(shop, first, "available"))
    said = volume(shop, first)
    assert (said["SnapshotId"], said["AvailabilityZone"]) == (of[root], ZONE)
    assert (said["VolumeType"], said["Iops"], said["Throughput"]) == ("gp3", 4000, 250)
    assert {tag["Key"]: tag["Value"] for tag in said["Tags"]} == OURS
    assert shop.making.made(REGION, "a-recovery") == Made(volumes=(first,))
    assert shop.making.made(REGION, "another") == Made()


def test_a_dry_run_makes_nothing_and_refuses_as_the_deed_would(shop: Workshop) -> None:
    instance_id, root, data = shop.add_instance()
    of = snapshots(shop, instance_id)

    assert shop.making.create_volume(order(of[root]), dry_run=True) == ""
    shop.making.detach(REGION, data, instance_id, dry_run=True)
    shop.making.stop(REGION, instance_id, dry_run=True)
    root_order = RootOrder(REGION, instance_id, of[root], "t", OURS)
    assert shop.making.replace_root(root_order, dry_run=True) == ""
    with pytest.raises(RejectedError):
        shop.making.attach(REGION, data, instance_id, "/dev/sdh", dry_run=True)
    with pytest.raises(NotFoundError):
        shop.making.create_volume(order(f"snap-{ABSENT}"), dry_run=True)

    assert shop.making.made(REGION, "a-recovery") == Made()
    assert is_state(shop, instance_id, "running")
    assert device_of(shop, instance_id, data)


def test_a_snapshot_must_be_completed_and_a_zone_must_exist(shop: Workshop) -> None:
    instance_id, root, _ = shop.add_instance()
    of = snapshots(shop, instance_id)
    pending = shop.cloud.fire(wanted(instance_id), SECONDS)[0].snapshot_id

    with pytest.raises(RejectedError) as refused:
        shop.making.create_volume(order(pending))
    assert refused.value.code == "IncorrectState"
    with pytest.raises(NotFoundError):
        shop.making.create_volume(order(of[root], "other", "eu-west-1x"))
    assert shop.making.made(REGION, "a-recovery") == Made()


def test_a_volume_takes_the_place_of_another_at_the_same_device(shop: Workshop) -> None:
    instance_id, _, data = shop.add_instance()
    new = made_volume(shop, snapshots(shop, instance_id)[data])
    device = device_of(shop, instance_id, data)["DeviceName"]

    with pytest.raises(RejectedError) as refused:
        shop.making.attach(REGION, new, instance_id, device)
    assert refused.value.code == "InvalidParameterValue"  # the device is in use
    shop.making.detach(REGION, data, instance_id)
    until(lambda: is_state(shop, data, "available"))
    shop.making.attach(REGION, new, instance_id, device)
    until(lambda: is_state(shop, new, "in-use"))

    there = device_of(shop, instance_id, new)
    assert there["DeviceName"] == device
    assert there["Ebs"]["DeleteOnTermination"] is False
    shop.making.set_deletion(REGION, instance_id, device, deletes=True)
    assert device_of(shop, instance_id, new)["Ebs"]["DeleteOnTermination"] is True
    (attached,) = volume(shop, new)["Attachments"]
    assert (attached["InstanceId"], attached["Device"], attached["State"]) == (
        instance_id,
        device,
        "attached",
    )
    with pytest.raises(RejectedError) as refused:
        shop.making.detach(REGION, data, instance_id)
    assert refused.value.code == "IncorrectState"


def test_a_volume_of_another_zone_is_not_attached_nor_one_that_is_in_use(shop: Workshop) -> None:
    instance_id, root, data = shop.add_instance()
    of = snapshots(shop, instance_id)
    elsewhere = shop.making.create_volume(order(of[data], "t", "us-east-1b"))
    until(lambda: is_state(shop, elsewhere, "available"))

    with pytest.raises(RejectedError) as refused:
        shop.making.attach(REGION, elsewhere, instance_id, "/dev/sdh")
    assert refused.value.code == "InvalidVolume.ZoneMismatch"
    with pytest.raises(RejectedError) as refused:
        shop.making.attach(REGION, data, instance_id, "/dev/sdh")
    assert refused.value.code == "VolumeInUse"
    with pytest.raises(NotFoundError):
        shop.making.attach(REGION, f"vol-{ABSENT}", instance_id, "/dev/sdh")
    with pytest.raises(NotFoundError):
        shop.making.attach(REGION, elsewhere, f"i-{ABSENT}", "/dev/sdh")
    assert device_of(shop, instance_id, root)


def test_a_root_volume_comes_off_only_when_the_instance_is_stopped(shop: Workshop) -> None:
    instance_id, root, _ = shop.add_instance()
    device = device_of(shop, instance_id, root)["DeviceName"]

    with pytest.raises(RejectedError) as refused:
        shop.making.detach(REGION, root, instance_id)
    assert refused.value.code == "OperationNotPermitted"
    stopped(shop, instance_id)
    shop.making.stop(REGION, instance_id)  # nothing happens
    shop.making.detach(REGION, root, instance_id)
    until(lambda: is_state(shop, root, "available"))
    with pytest.raises(RejectedError):
        shop.making.start(REGION, instance_id)  # without a root volume
    shop.making.attach(REGION, root, instance_id, device)
    shop.making.start(REGION, instance_id)
    until(lambda: is_state(shop, instance_id, "running"))


def test_only_a_volume_that_nobody_has_attached_is_deleted(shop: Workshop) -> None:
    instance_id, _, data = shop.add_instance()
    new = made_volume(shop, snapshots(shop, instance_id)[data])

    with pytest.raises(RejectedError) as refused:
        shop.making.delete_volume(REGION, data)
    assert refused.value.code == "VolumeInUse"
    shop.making.delete_volume(REGION, new)
    with pytest.raises(NotFoundError):
        shop.making.delete_volume(REGION, new)
    assert volume(shop, new) == {}
    assert volume(shop, data) != {}


def test_how_far_a_volume_is_loaded_is_said_while_it_is_available(shop: Workshop) -> None:
    instance_id, _, data = shop.add_instance()
    new = made_volume(shop, snapshots(shop, instance_id)[data])
    shop.loads(new)

    found = shop.making.initialization(REGION, [new, f"vol-{ABSENT}"])

    assert list(found) == [new]
    assert found[new] is not None
    assert getattr(found[new], "progress", 100) < 100
    assert shop.making.initialization(REGION, []) == {}


def test_a_root_volume_is_replaced_and_the_old_one_stays(shop: Workshop) -> None:
    instance_id, root, _ = shop.add_instance()
    of = snapshots(shop, instance_id)
    device = device_of(shop, instance_id, root)["DeviceName"]
    asked = RootOrder(REGION, instance_id, of[root], "a-token", OURS)

    task = shop.making.replace_root(asked)
    assert shop.making.replace_root(asked) == task
    until(lambda: getattr(shop.making.root_task(REGION, task), "state", "") == "succeeded")

    rows = instance(shop, instance_id)["BlockDeviceMappings"]
    (new,) = [row["Ebs"]["VolumeId"] for row in rows if row["DeviceName"] == device]
    assert new != root
    assert volume(shop, new)["SnapshotId"] == of[root]
    assert is_state(shop, root, "available")
    assert shop.making.root_task(REGION, f"replacevol-{ABSENT}") is None
    stopped(shop, instance_id)
    with pytest.raises(RejectedError):
        shop.making.replace_root(replace(asked, token="another"))


def image(shop: Workshop, instance_id: str, of: dict[str, str]) -> ImageOrder:
    said = instance(shop, instance_id)
    mapped = [
        {"DeviceName": row["DeviceName"], "Ebs": {"SnapshotId": of[row["Ebs"]["VolumeId"]]}}
        for row in said["BlockDeviceMappings"]
    ]
    given = {
        "Architecture": "x86_64",
        "RootDeviceName": said["RootDeviceName"],
        "BlockDeviceMappings": mapped,
    }
    return ImageOrder(REGION, "n2wbackup-a-recovery", OURS, given)


def test_an_instance_starts_from_an_image_of_snapshots(shop: Workshop) -> None:
    instance_id, *_ = shop.add_instance()
    of = snapshots(shop, instance_id)
    asked = image(shop, instance_id, of)

    assert shop.making.register(asked, dry_run=True) == ""
    image_id = shop.making.register(asked)
    with pytest.raises(RejectedError) as refused:
        shop.making.register(asked)
    assert refused.value.code == "InvalidAMIName.Duplicate"
    assert shop.making.made(REGION, "a-recovery").images == (image_id,)
    until(lambda: shop.making.image_state(REGION, image_id) == "available")
    launch = LaunchOrder(
        REGION,
        image_id,
        "a-token",
        {"Name": "again"},
        OURS,
        {"InstanceType": "t3.micro", "Placement": {"AvailabilityZone": ZONE}},
    )
    assert shop.making.launch(launch, dry_run=True) == ""
    new = shop.making.launch(launch)
    assert shop.making.launch(launch) == new
    until(lambda: is_state(shop, new, "running"))
    shop.making.deregister(REGION, image_id)

    said = instance(shop, new)
    assert {tag["Key"]: tag["Value"] for tag in said["Tags"]} == {"Name": "again", **OURS}
    assert said["ClientToken"] == "a-token"
    volumes = [row["Ebs"]["VolumeId"] for row in said["BlockDeviceMappings"]]
    assert {volume(shop, each)["SnapshotId"] for each in volumes} == set(of.values())
    made_at = [datetime.fromisoformat(volume(shop, each)["CreateTime"]) for each in volumes]
    assert min(made_at) > clock.now() - timedelta(minutes=5)
    assert set(shop.making.made(REGION, "a-recovery").volumes) == set(volumes)
    assert shop.making.image_state(REGION, image_id) == ""
    with pytest.raises(NotFoundError):
        shop.making.deregister(REGION, image_id)
    shop.making.end(REGION, new)
    until(lambda: shop.making.made(REGION, "a-recovery") == Made())
    assert all(volume(shop, each) == {} for each in volumes)


def test_an_image_of_another_name_is_nobody_s(shop: Workshop) -> None:
    instance_id, *_ = shop.add_instance()
    asked = replace(image(shop, instance_id, snapshots(shop, instance_id)), name="another")
    shop.making.register(asked)
    assert shop.making.made(REGION, "a-recovery").images == ()


def test_nothing_starts_from_an_image_that_does_not_exist(shop: Workshop) -> None:
    launch = LaunchOrder(REGION, f"ami-{ABSENT}", "t", {}, OURS, {"InstanceType": "t3.micro"})

    with pytest.raises(NotFoundError):
        shop.making.launch(launch)
    with pytest.raises(NotFoundError):
        shop.making.stop(REGION, f"i-{ABSENT}")
    assert shop.making.made(REGION, "a-recovery") == Made()


def test_tags_are_set_on_what_exists(shop: Workshop) -> None:
    instance_id, root, data = shop.add_instance()

    shop.making.tag_made(REGION, [root, data], {"n2wbackup:kept-until": "2026-12-06"})

    for each in (root, data):
        tags = {tag["Key"]: tag["Value"] for tag in volume(shop, each)["Tags"]}
        assert tags["n2wbackup:kept-until"] == "2026-12-06"
    with pytest.raises(NotFoundError):
        shop.making.tag_made(REGION, [f"vol-{ABSENT}"], {"a": "b"})
    assert is_state(shop, instance_id, "running")
