"""An account's permissions as every `Cloud` reports them: one suite, like test_cloud."""

from pathlib import Path

import pytest

from policies.domain.errors import NotFoundError
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

ELSEWHERE = "eu-west-1"


@pytest.fixture(params=["memory", "ec2"])
def ground(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Ground:
    if request.param == "memory":
        return MemoryGround()
    aws = request.getfixturevalue("simulated_aws")
    enter(aws, monkeypatch, tmp_path)
    return SimulatedGround(aws)


def test_who_calls_is_told(ground: Ground) -> None:
    caller = ground.cloud.caller(REGION)

    assert caller.aws_account_id == "123456789012"
    assert caller.arn.startswith("arn:aws:iam::123456789012:user/")


def test_keys_that_do_not_end_need_no_renewal(ground: Ground) -> None:
    ground.cloud.renew(1_000_000)


@pytest.mark.parametrize("action", ["DescribeInstances", "DescribeVolumes", "DescribeSnapshots"])
def test_what_may_be_listed_is_no_error(ground: Ground, action: str) -> None:
    ground.cloud.may_list(action, REGION)


def test_something_to_try_with_is_found_in_its_region(ground: Ground) -> None:
    assert ground.cloud.any_instance(REGION) == ""
    assert ground.cloud.any_volume(REGION) == ""
    instance_id, *volume_ids = ground.add_instance(volumes=2)

    assert ground.cloud.any_instance(REGION) == instance_id
    assert ground.cloud.any_volume(REGION) in volume_ids
    assert ground.cloud.any_instance(ELSEWHERE) == ground.cloud.any_volume(ELSEWHERE) == ""


def test_a_terminated_instance_is_nothing_to_try_with(ground: Ground) -> None:
    ground.add_terminated()

    assert ground.cloud.any_instance(REGION) == ""


def test_only_a_snapshot_of_this_server_is_found_and_trying_changes_nothing(
    ground: Ground,
) -> None:
    (made,) = ground.cloud.fire(wanted(volume_id=ground.add_volume()), SECONDS)

    assert ground.cloud.any_snapshot(REGION, "another-server") == ""
    assert ground.cloud.any_snapshot(REGION, SERVER) == made.snapshot_id
    ground.cloud.may_tag(REGION, made.snapshot_id, {"n2wbackup:state": "test"})

    found = ground.cloud.describe(REGION, [made.snapshot_id])[made.snapshot_id]
    assert "n2wbackup:state" not in found.tags


def test_tags_of_what_is_gone_cannot_be_tried(ground: Ground) -> None:
    with pytest.raises(NotFoundError):
        ground.cloud.may_tag(REGION, "snap-0123456789abcdef0", {"a": "b"})
