"""A whole region is listed page by page, and a listing that fails on the way is no listing."""

import pytest

from n2wbackup.demo.aws import SimulatedAws, VolumeSpec
from policies.domain.errors import NotPermittedError, ThrottledError
from policies.ports import Cloud
from tests.contract.aws_clients import ec2
from tests.contract.clouds import REGION


@pytest.mark.lasts(10)
def test_a_region_is_listed_beyond_one_page(aws: SimulatedAws, cloud: Cloud) -> None:
    made = {aws.add_instance(REGION, [VolumeSpec()]).instance_id for _ in range(205)}
    aws.forget_calls()

    assert {each.instance_id for each in cloud.all_instances(REGION)} == made
    assert len(cloud.all_volumes(REGION)) == 205

    assert len(aws.calls("DescribeInstances")) == 2
    assert len(aws.calls("DescribeVolumes")) == 2


@pytest.mark.lasts(10)
def test_a_listing_that_is_throttled_on_its_way_fails_whole(
    aws: SimulatedAws, cloud: Cloud
) -> None:
    for _ in range(205):
        aws.add_instance(REGION, [VolumeSpec()])
    aws.configure(rate_buckets={"DescribeInstances": (1, 0), "DescribeVolumes": (1, 0)})

    with pytest.raises(ThrottledError, match="AWS limits the rate of calls"):
        cloud.all_instances(REGION)
    with pytest.raises(ThrottledError, match="AWS limits the rate of calls"):
        cloud.all_volumes(REGION)


def test_a_denied_listing_names_the_permission(aws: SimulatedAws, cloud: Cloud) -> None:
    aws.fault("DescribeVolumes", "denied")

    with pytest.raises(NotPermittedError, match="ec2:DescribeVolumes"):
        cloud.all_volumes(REGION)


def test_tags_and_sizes_are_said(aws: SimulatedAws, cloud: Cloud) -> None:
    instance = aws.add_instance(REGION, [VolumeSpec(size_gib=7)], name="web")

    (found,) = cloud.all_instances(REGION)
    (volume,) = cloud.all_volumes(REGION)

    assert found.instance_id == instance.instance_id
    assert {"Key": "Name", "Value": "web"} in found.answer["Tags"]
    assert (volume.answer["Size"], volume.instance_id) == (7, instance.instance_id)


def test_listings_lag_behind_what_was_made_and_tagged(aws: SimulatedAws, cloud: Cloud) -> None:
    instance = aws.add_instance(REGION, [VolumeSpec()], name="web")
    (volume,) = instance.volume_ids

    def tags() -> list[str]:
        (found,) = cloud.all_instances(REGION)
        return sorted(tag["Key"] for tag in found.answer["Tags"])

    ec2(aws).create_tags(
        Resources=[instance.instance_id], Tags=[{"Key": "backup", "Value": "shop"}]
    )
    assert tags() == ["Name", "backup"]
    aws.configure(eventual_consistency_seconds=3600)
    assert cloud.all_instances(REGION) == []
    assert cloud.all_volumes(REGION) == []
    answer = ec2(aws).describe_instances(InstanceIds=[instance.instance_id])
    (found,) = answer["Reservations"][0]["Instances"]
    assert [tag["Key"] for tag in found["Tags"]] == ["Name"]
    aws.configure(eventual_consistency_seconds=0)
    assert [each.volume_id for each in cloud.all_volumes(REGION)] == [volume]
    ec2(aws).delete_tags(Resources=[instance.instance_id], Tags=[{"Key": "backup"}])
    assert tags() == ["Name"]
