"""Answers that say less, or later, than one would wish: missing optional fields, errors that come afterwards."""

import pytest

from n2wbackup.demo.aws import SimulatedAws, VolumeSpec
from policies.domain.errors import AnswerLostError
from policies.ports import Cloud
from tests.contract.clouds import REGION, SECONDS, wanted

# Of snapshots, instances and volumes; only the ids are required.
OPTIONAL = [
    "state",
    "status",
    "progress",
    "startTime",
    "ownerId",
    "description",
    "volumeSize",
    "encrypted",
    "statusMessage",
    "tagSet",
    "value",
    "instanceState",
    "rootDeviceName",
    "deviceName",
    "volumeType",
    "attachmentSet",
    "nextToken",
]


@pytest.mark.parametrize("name", OPTIONAL)
def test_an_answer_without_an_optional_field_is_read_all_the_same(
    aws: SimulatedAws, cloud: Cloud, name: str
) -> None:
    made = aws.add_instance(REGION, [VolumeSpec(), VolumeSpec()])
    alone = aws.add_volume(REGION)
    aws.configure(left_out_fields=[name])

    found = cloud.instances(REGION, [made.instance_id])[made.instance_id]
    fired = cloud.fire(wanted(made.instance_id), SECONDS)
    (single,) = cloud.fire(wanted(volume_id=alone), SECONDS)
    shown = cloud.describe(REGION, [single.snapshot_id])[single.snapshot_id]

    assert set(found.volume_ids) == set(made.volume_ids)
    assert {one.volume_id for one in fired} == set(made.volume_ids)
    assert (single.volume_id, single.state, shown.state) == (alone, "pending", "pending")
    assert set(cloud.volumes(REGION, [alone])) == {alone}


def test_snapshots_without_their_volumes_are_left_to_the_search_by_tag(
    aws: SimulatedAws, cloud: Cloud
) -> None:
    made = aws.add_instance(REGION)
    aws.configure(left_out_fields=["volumeId"])

    with pytest.raises(AnswerLostError):
        cloud.fire(wanted(made.instance_id), SECONDS)


def test_an_answer_without_any_list_is_an_empty_one(aws: SimulatedAws, cloud: Cloud) -> None:
    aws.add_instance(REGION)
    aws.configure(left_out_fields=["reservationSet", "volumeSet", "snapshotSet", "instancesSet"])

    assert cloud.any_instance(REGION) == cloud.any_volume(REGION) == ""
    assert cloud.describe(REGION, ["snap-0123456789abcdef0"]) == {}
    assert cloud.instances(REGION, ["i-0123456789abcdef0"]) == {}


def test_a_key_that_is_denied_fails_the_set_after_the_call_and_aws_says_why(
    aws: SimulatedAws, cloud: Cloud
) -> None:
    made = aws.add_instance(REGION, [VolumeSpec(), VolumeSpec(encrypted=True)])
    aws.configure(kms_denied=True, pending_seconds=0)

    fired = cloud.fire(wanted(made.instance_id), SECONDS)

    assert {one.state for one in fired} == {"pending"}
    ended = cloud.describe(REGION, [one.snapshot_id for one in fired])
    assert {one.state for one in ended.values()} == {"error"}
    assert {one.message for one in ended.values()} == {"", "Given key ID is not accessible"}


def test_a_key_that_is_denied_concerns_no_set_without_encryption(
    aws: SimulatedAws, cloud: Cloud
) -> None:
    made = aws.add_instance(REGION, [VolumeSpec()])
    aws.configure(kms_denied=True, pending_seconds=0)

    (fired,) = cloud.fire(wanted(made.instance_id), SECONDS)

    assert cloud.describe(REGION, [fired.snapshot_id])[fired.snapshot_id].state == "completed"
