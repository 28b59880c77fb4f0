"""Snapshots of the simulated AWS: which are created, how they end, how they are listed."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from n2wbackup.demo.aws import SimulatedAws, SimulatedInstance, VolumeSpec
from tests.contract.aws_clients import ec2, refused

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

NO_LIMITS: dict[str, Any] = {
    "per_volume_interval_seconds": 0,
    "pending_per_volume": 0,
    "rate_buckets": {},
}


def tags(**given: str) -> list[Any]:
    pairs = [{"Key": key, "Value": value} for key, value in given.items()]
    return [{"ResourceType": "snapshot", "Tags": pairs}]


def fire(
    client: "EC2Client",
    instance: SimulatedInstance,
    only: dict[str, Any] | None = None,
    tagged: list[Any] | None = None,
) -> list[str]:
    specification: Any = {"InstanceId": instance.instance_id, **(only or {})}
    answer = client.create_snapshots(
        InstanceSpecification=specification, TagSpecifications=tagged or []
    )
    return [each["SnapshotId"] for each in answer["Snapshots"]]


def states(client: "EC2Client", ids: Sequence[str]) -> set[str]:
    return {each["State"] for each in client.describe_snapshots(SnapshotIds=ids)["Snapshots"]}


def listed(client: "EC2Client", **filters: Sequence[str]) -> list[str]:
    given = [{"Name": name, "Values": values} for name, values in filters.items()]
    answer = client.describe_snapshots(OwnerIds=["self"], Filters=given)  # type: ignore[arg-type]
    return [each["SnapshotId"] for each in answer["Snapshots"]]


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as raised:
        call()
    return refused(raised)[0]


def test_a_set_pends_with_growing_progress_and_completes(simulated_aws: SimulatedAws) -> None:
    simulated_aws.configure(pending_seconds=6.0)
    instance = simulated_aws.add_instance(volumes=[VolumeSpec()] * 4)
    client = ec2(simulated_aws)
    answer = client.create_snapshots(
        InstanceSpecification={"InstanceId": instance.instance_id}, Description="nightly"
    )["Snapshots"]
    assert [each["VolumeId"] for each in answer] == list(instance.volume_ids)
    assert {(each["State"], each["Description"]) for each in answer} == {("pending", "nightly")}
    seen, state = [], "pending"
    while state == "pending":
        shown = client.describe_snapshots(SnapshotIds=[answer[0]["SnapshotId"]])["Snapshots"][0]
        seen.append(int(shown["Progress"].rstrip("%")))
        state = shown["State"]
        time.sleep(0.05)
    assert state == "completed"
    assert seen == sorted(seen)
    assert seen[0] < 100
    assert seen[-1] == 100
    assert len(set(seen)) > 2
    assert len({each.set_id for each in simulated_aws.snapshots()}) == 1


def test_a_failing_set_turns_error_together(simulated_aws: SimulatedAws) -> None:
    simulated_aws.configure(pending_seconds=3.0)
    bad = simulated_aws.add_instance(volumes=[VolumeSpec()] * 3)
    good, client = simulated_aws.add_instance(), ec2(simulated_aws)
    simulated_aws.fault("CreateSnapshots", "snapshot_error", match={"InstanceId": bad.instance_id})
    failing, fine = fire(client, bad), fire(client, good)
    assert states(client, failing) == {"pending"}
    time.sleep(3.1)
    assert states(client, failing) == {"error"}
    assert states(client, fine) == {"completed"}
    shown = client.describe_snapshots(SnapshotIds=failing)["Snapshots"][0]
    assert shown["StateMessage"]
    assert shown["Progress"] != "100%"


def test_the_parent_side_can_end_or_remove_snapshots(simulated_aws: SimulatedAws) -> None:
    simulated_aws.configure(pending_seconds=3600)
    instance, client = simulated_aws.add_instance(volumes=[VolumeSpec()] * 3), ec2(simulated_aws)
    first, second, third = fire(client, instance)
    simulated_aws.settle_snapshots("error", [second])
    simulated_aws.settle_snapshots()
    shown = {each.snapshot_id: each.state for each in simulated_aws.snapshots()}
    assert shown == {first: "completed", second: "error", third: "completed"}
    simulated_aws.delete_snapshot(third)
    assert listed(client) == [first, second]
    assert code_of(lambda: states(client, [third])) == "InvalidSnapshot.NotFound"


def test_boot_and_data_volumes_are_excluded(simulated_aws: SimulatedAws) -> None:
    instance, client = simulated_aws.add_instance(volumes=[VolumeSpec()] * 4), ec2(simulated_aws)
    root, first, second, third = instance.volume_ids
    only = {"ExcludeBootVolume": True, "ExcludeDataVolumeIds": [second]}
    fire(client, instance, only=only)
    assert [each.volume_id for each in simulated_aws.snapshots()] == [first, third]
    fire(client, instance, only={"ExcludeDataVolumeIds": [first, third]})
    assert [each.volume_id for each in simulated_aws.snapshots()][2:] == [root, second]


def test_impossible_exclusions_are_refused(simulated_aws: SimulatedAws) -> None:
    instance = simulated_aws.add_instance(volumes=[VolumeSpec()] * 2)
    client, loose = ec2(simulated_aws), simulated_aws.add_volume()
    root, data = instance.volume_ids

    def refusal(*excluded: str, boot: bool = False) -> str:
        only = {"ExcludeBootVolume": boot, "ExcludeDataVolumeIds": excluded}
        return code_of(lambda: fire(client, instance, only))

    assert refusal(root) == "InvalidParameterValue"
    assert refusal(loose) == "InvalidParameterValue"
    assert refusal(*([data] * 41)) == "InvalidParameterValue"
    assert refusal(data, boot=True) == "InvalidParameterCombination"
    gone = simulated_aws.add_instance(state="terminated")
    assert code_of(lambda: fire(client, gone)) == "IncorrectState"
    assert simulated_aws.snapshots() == []


def test_tags_come_with_the_call_and_change_later(simulated_aws: SimulatedAws) -> None:
    spec = VolumeSpec(name="data")
    instance, client = simulated_aws.add_instance(volumes=[spec, spec]), ec2(simulated_aws)
    ids = fire(client, instance, tagged=tags(run="1", a="<&>"))
    assert [each.tags for each in simulated_aws.snapshots()] == [{"run": "1", "a": "<&>"}] * 2
    client.create_tags(Resources=ids, Tags=[{"Key": "run", "Value": "2"}])
    client.delete_tags(Resources=ids[:1], Tags=[{"Key": "a"}])
    shown = client.describe_snapshots(SnapshotIds=ids)["Snapshots"]
    assert [len(each["Tags"]) for each in shown] == [1, 2]
    assert shown[0]["Tags"] == [{"Key": "run", "Value": "2"}]
    rows = client.describe_tags(Filters=[{"Name": "resource-type", "Values": ["snapshot"]}])
    assert len(rows["Tags"]) == 3
    client.create_tags(Resources=[instance.instance_id], Tags=[{"Key": "env", "Value": "x"}])
    rows = client.describe_tags(Filters=[{"Name": "resource-id", "Values": ["i-*"]}])
    assert rows["Tags"][0]["Value"] == "x"
    simulated_aws.configure(**NO_LIMITS)
    client.create_snapshots(
        InstanceSpecification={"InstanceId": instance.instance_id},
        CopyTagsFromSource="volume",
        TagSpecifications=tags(run="3"),
    )
    assert simulated_aws.snapshots()[-1].tags == {"Name": "data", "run": "3"}


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (tags(**{"k" * 129: "v"}), "InvalidParameterValue"),
        (tags(k="v" * 257), "InvalidParameterValue"),
        (tags(**{"aws:k": "v"}), "InvalidParameterValue"),
        (tags(**{f"k{number}": "v" for number in range(51)}), "TagLimitExceeded"),
        ([{"ResourceType": "volume", "Tags": []}], "InvalidParameterValue"),
    ],
)
def test_tags_beyond_the_limits_are_refused_with_the_whole_call(
    simulated_aws: SimulatedAws, given: list[Any], code: str
) -> None:
    instance, client = simulated_aws.add_instance(), ec2(simulated_aws)
    assert code_of(lambda: fire(client, instance, tagged=given)) == code
    assert simulated_aws.snapshots() == []


def test_tags_are_set_on_all_resources_or_on_none(simulated_aws: SimulatedAws) -> None:
    instance, client = simulated_aws.add_instance(), ec2(simulated_aws)
    (snapshot_id,) = fire(client, instance)
    both = [snapshot_id, "snap-0123456789abcdef0"]
    given: list[Any] = [{"Key": "a", "Value": "b"}]
    refusal = code_of(lambda: client.create_tags(Resources=both, Tags=given))
    assert refusal == "InvalidSnapshot.NotFound"
    assert simulated_aws.snapshots()[0].tags == {}


def test_filters_ids_and_owners_select(simulated_aws: SimulatedAws) -> None:
    simulated_aws.configure(pending_seconds=3600)
    first, second = simulated_aws.add_instance(), simulated_aws.add_instance()
    client = ec2(simulated_aws)
    (one,) = fire(client, first, tagged=tags(run="r1", server="s"))
    (two,) = fire(client, second, tagged=tags(run="r2", server="s"))
    simulated_aws.settle_snapshots("completed", [one])
    assert listed(client, status=["completed"]) == [one]
    assert listed(client, status=["pending", "error"]) == [two]
    assert listed(client, **{"tag:server": ["s"]}) == [one, two]
    assert listed(client, **{"tag:run": ["r2"], "tag:server": ["s"]}) == [two]
    assert listed(client, **{"tag:run": ["r?"]}) == [one, two]
    assert listed(client, **{"tag:run": ["r\\?"]}) == []
    assert listed(client, **{"tag-key": ["nothing"]}) == []
    assert listed(client, **{"volume-id": [second.root_volume_id]}) == [two]
    assert listed(client, **{"snapshot-id": [one, "snap-0123456789abcdef0"]}) == [one]
    assert listed(client, **{"owner-id": ["123456789012"]}) == [one, two]
    assert client.describe_snapshots(OwnerIds=["amazon"])["Snapshots"] == []
    assert ec2(simulated_aws, "eu-west-1").describe_snapshots()["Snapshots"] == []
    assert code_of(lambda: states(client, ["snap-nonsense"])) == "InvalidParameterValue"
    assert code_of(lambda: listed(client, colour=["red"])) == "InvalidParameterValue"
    many = {"snapshot-id": [f"snap-{number:017x}" for number in range(200)]}
    assert listed(client, **many) == []
    assert code_of(lambda: listed(client, **many, status=["error"])) == "FilterLimitExceeded"


def test_a_new_snapshot_is_not_listed_at_once_where_reads_are_eventual(
    simulated_aws: SimulatedAws,
) -> None:
    simulated_aws.configure(eventual_consistency_seconds=3.0)
    instance, client = simulated_aws.add_instance(), ec2(simulated_aws)
    ids = fire(client, instance)
    assert listed(client) == []
    assert code_of(lambda: states(client, ids)) == "InvalidSnapshot.NotFound"
    time.sleep(3.1)
    assert listed(client) == ids


def test_pages_hold_what_aws_lets_them_hold(simulated_aws: SimulatedAws) -> None:
    simulated_aws.configure(**NO_LIMITS)
    instance, client = simulated_aws.add_instance(volumes=[VolumeSpec()] * 6), ec2(simulated_aws)
    ids = fire(client, instance) + fire(client, instance)
    page = client.describe_snapshots(MaxResults=5)
    found = [each["SnapshotId"] for each in page["Snapshots"]]
    simulated_aws.delete_snapshot(
        ids[0]
    )  # a snapshot that is deleted between two pages moves no other
    while token := page.get("NextToken"):
        page = client.describe_snapshots(MaxResults=5, NextToken=token)
        found += [each["SnapshotId"] for each in page["Snapshots"]]
    assert found == ids
    first = client.describe_snapshots(MaxResults=5)["NextToken"]

    def other_filter() -> object:
        return client.describe_snapshots(MaxResults=5, NextToken=first, OwnerIds=["self"])

    assert code_of(other_filter) == "InvalidNextToken"
    assert code_of(lambda: client.describe_snapshots(NextToken="x")) == "InvalidNextToken"
    assert code_of(lambda: client.describe_snapshots(MaxResults=4)) == "InvalidParameterValue"
    both = code_of(lambda: client.describe_snapshots(MaxResults=5, SnapshotIds=ids[1:]))
    assert both == "InvalidParameterCombination"


def test_a_volume_takes_no_second_snapshot_at_once_nor_too_many_pending(
    simulated_aws: SimulatedAws,
) -> None:
    simulated_aws.configure(per_volume_interval_seconds=3600, pending_seconds=3600)
    slow = simulated_aws.add_volume(volume=VolumeSpec(type="st1", size_gib=125))
    instance, client = simulated_aws.add_instance(), ec2(simulated_aws)
    fire(client, instance)
    refusal = code_of(lambda: fire(client, instance))
    assert refusal == "SnapshotCreationPerVolumeRateExceeded"
    simulated_aws.configure(per_volume_interval_seconds=0)
    for _ in range(4):
        client.create_snapshot(VolumeId=instance.root_volume_id)
    refusal = code_of(lambda: client.create_snapshot(VolumeId=instance.root_volume_id))
    assert refusal == "ConcurrentSnapshotLimitExceeded"
    client.create_snapshot(VolumeId=slow)
    refusal = code_of(lambda: client.create_snapshot(VolumeId=slow))
    assert refusal == "ConcurrentSnapshotLimitExceeded"
    assert len(simulated_aws.snapshots()) == 6


def test_the_rate_bucket_of_each_region_empties_and_refills(simulated_aws: SimulatedAws) -> None:
    simulated_aws.configure(
        **{**NO_LIMITS, "rate_buckets": {"CreateSnapshots": (3, 0.3), "CreateSnapshot": (1, 0)}}
    )
    here, there = simulated_aws.add_instance(), simulated_aws.add_instance("eu-west-1")
    client = ec2(simulated_aws)
    for _ in range(3):
        fire(client, here)

    def until_refused() -> None:
        for _ in range(20):  # the bucket refills meanwhile, where a call takes its time
            fire(client, here)

    with pytest.raises(ClientError) as raised:
        until_refused()
    assert refused(raised) == ("RequestLimitExceeded", 503)
    fired = len(simulated_aws.snapshots("us-east-1"))
    fire(ec2(simulated_aws, "eu-west-1"), there)
    time.sleep(3.4)
    fire(client, here)
    assert len(simulated_aws.snapshots("us-east-1")) == fired + 1


def test_a_stand_alone_volume_has_its_snapshot_and_loses_it(simulated_aws: SimulatedAws) -> None:
    volume_id, client = simulated_aws.add_volume(volume=VolumeSpec(size_gib=7)), ec2(simulated_aws)
    made = client.create_snapshot(VolumeId=volume_id, TagSpecifications=tags(run="1"))
    assert (made["State"], made["VolumeSize"], made["VolumeId"]) == ("pending", 7, volume_id)
    assert made["Tags"] == [{"Key": "run", "Value": "1"}]
    client.delete_snapshot(SnapshotId=made["SnapshotId"])
    assert simulated_aws.snapshots() == []
    gone = code_of(lambda: client.delete_snapshot(SnapshotId=made["SnapshotId"]))
    assert gone == "InvalidSnapshot.NotFound"


def test_calls_stay_quick_among_a_thousand_snapshots(simulated_aws: SimulatedAws) -> None:
    simulated_aws.configure(**NO_LIMITS)
    instance, client = simulated_aws.add_instance(volumes=[VolumeSpec()] * 4), ec2(simulated_aws)
    for number in range(260):
        fire(client, instance, tagged=tags(run=str(number), server="s"))
    spans = [each.service_seconds for each in simulated_aws.calls("CreateSnapshots")]
    assert statistics.median(spans) < 0.03  # 0.01 is promised
    pages = client.get_paginator("describe_snapshots").paginate(
        OwnerIds=["self"],
        Filters=[{"Name": "tag:server", "Values": ["s"]}],
        PaginationConfig={"PageSize": 200},
    )
    assert sum(len(page["Snapshots"]) for page in pages) == 1040
    spans = [each.service_seconds for each in simulated_aws.calls("DescribeSnapshots")]
    assert len(spans) == 6
    assert statistics.median(spans) < 0.3  # 0.1 is promised
