"""One suite for every `Cloud`: the one in memory, and EC2's against a simulated AWS."""

import dataclasses
import hashlib
import json

import pytest

from policies.domain.errors import (
    AnswerLostError,
    AwsError,
    NotFoundError,
    NotPermittedError,
    RejectedError,
    ThrottledError,
    UnreachableError,
)
from policies.domain.runs import described
from policies.ports import FireRequest, Snapshot
from tests.contract.clouds import (
    REGION,
    SECONDS,
    SERVER,
    Ground,
    Kind,
    wanted,
)


def of_run(ground: Ground, run: str = "a-run") -> list[Snapshot]:
    return ground.cloud.of_run(REGION, SERVER, run)


def test_an_instance_is_found_with_its_volumes_the_root_first(ground: Ground) -> None:
    instance_id, *volume_ids = ground.add_instance(volumes=3)

    found = ground.cloud.instances(REGION, [instance_id])

    assert list(found) == [instance_id]
    instance = found[instance_id]
    assert (instance.instance_id, instance.region) == (instance_id, REGION)
    assert instance.state == "running"
    assert instance.root_volume_id == volume_ids[0]
    assert instance.volume_ids == tuple(volume_ids)
    assert len(instance.aws_account_id) == 12


@pytest.mark.parametrize("wrong", ["i-0123456789abcdef0", "i-nonsense", "nonsense", "*", "i-?*"])
def test_a_wrong_instance_id_is_absent_and_fails_no_other(ground: Ground, wrong: str) -> None:
    instance_id, *_ = ground.add_instance(volumes=1)
    ground.add_instance(volumes=1)  # what a wildcard would find

    assert list(ground.cloud.instances(REGION, [wrong, instance_id])) == [instance_id]


def test_a_terminated_instance_is_left_out(ground: Ground) -> None:
    assert ground.cloud.instances(REGION, [ground.add_terminated()]) == {}


def test_an_instance_is_not_found_in_another_region(ground: Ground) -> None:
    instance_id, volume_id = ground.add_instance(volumes=1)

    assert ground.cloud.instances("eu-west-1", [instance_id]) == {}
    assert ground.cloud.volumes("eu-west-1", [volume_id]) == {}


def test_everything_in_a_region_is_listed_in_order_and_nothing_that_is_terminated(
    ground: Ground,
) -> None:
    made = [ground.add_instance(volumes=2) for _ in range(3)]
    ground.add_terminated()
    alone = ground.add_volume()

    instances, volumes = ground.cloud.all_instances(REGION), ground.cloud.all_volumes(REGION)

    assert [each.instance_id for each in instances] == sorted(first for first, *_ in made)
    there = {each.volume_id: each.instance_id for each in volumes}
    assert list(there) == sorted(there)
    wanted_there = {volume: instance for instance, *of in made for volume in of}
    assert {v: i for v, i in there.items() if v in wanted_there} == wanted_there
    assert there[alone] == ""
    assert ground.cloud.all_instances("eu-west-1") == []
    assert ground.cloud.all_volumes("eu-west-1") == []


def test_what_aws_says_of_an_instance_and_its_volumes_is_given_whole(ground: Ground) -> None:
    instance_id, *volume_ids = ground.add_instance(volumes=2)

    instance = ground.cloud.instances(REGION, [instance_id])[instance_id]
    volumes = ground.cloud.volumes(REGION, volume_ids)

    assert instance.answer["InstanceId"] == instance_id
    document = {"instance": instance.answer, "volumes": {v: volumes[v].answer for v in volume_ids}}
    assert json.loads(json.dumps(document)) == document
    devices = [described.device(document, each) for each in volume_ids]
    assert all(each.startswith("/dev/") for each in devices)
    assert len(set(devices)) == 2
    assert [described.size_gib(document, each) for each in volume_ids] == [1, 1]


def test_user_data_are_given_as_their_hash(ground: Ground) -> None:
    without, *_ = ground.add_instance(volumes=1)
    with_some = ground.add_instance_with_user_data("#!/bin/sh\nPASSWORD=geheim \u00e9\n")

    assert ground.cloud.user_data_hash(REGION, without) == ""
    expected = hashlib.sha256("#!/bin/sh\nPASSWORD=geheim \u00e9\n".encode()).hexdigest()
    assert ground.cloud.user_data_hash(REGION, with_some) == expected


@pytest.mark.parametrize("wrong", ["i-0123456789abcdef0", "nonsense"])
def test_user_data_of_an_instance_that_is_absent_are_refused(ground: Ground, wrong: str) -> None:
    with pytest.raises(NotFoundError, match=wrong):
        ground.cloud.user_data_hash(REGION, wrong)


def test_volumes_say_what_they_are_attached_to(ground: Ground) -> None:
    instance_id, attached = ground.add_instance(volumes=1)
    alone = ground.add_volume()
    ground.add_volume()  # what a wildcard would find

    found = ground.cloud.volumes(REGION, [attached, alone, "vol-0123456789abcdef0", "vol-*"])

    assert set(found) == {attached, alone}
    assert found[attached].instance_id == instance_id
    assert found[alone].instance_id == ""
    assert found[alone].volume_type == "gp3"


def test_nothing_asked_is_nothing_found(ground: Ground) -> None:
    assert ground.cloud.instances(REGION, []) == {}
    assert ground.cloud.volumes(REGION, []) == {}
    assert ground.cloud.describe(REGION, []) == {}


def test_firing_an_instance_makes_a_snapshot_of_each_volume_with_the_tags(ground: Ground) -> None:
    instance_id, *volume_ids = ground.add_instance(volumes=4)
    request = wanted(instance_id)

    fired = ground.cloud.fire(request, SECONDS)

    assert sorted(each.volume_id for each in fired) == sorted(volume_ids)
    assert {each.state for each in fired} == {"pending"}
    assert all(dict(each.tags) == dict(request.tags) for each in fired)
    listed = ground.cloud.describe(REGION, [each.snapshot_id for each in fired])
    assert {each.snapshot_id: each.volume_id for each in fired} == {
        snapshot_id: each.volume_id for snapshot_id, each in listed.items()
    }
    assert all(dict(each.tags) == dict(request.tags) for each in listed.values())


def test_firing_a_volume_makes_one_snapshot(ground: Ground) -> None:
    volume_id = ground.add_volume()

    fired = ground.cloud.fire(wanted(volume_id=volume_id), SECONDS)

    assert [each.volume_id for each in fired] == [volume_id]
    assert of_run(ground) == fired


def test_excluded_volumes_are_left_out(ground: Ground) -> None:
    instance_id, root, first, second, third = ground.add_instance(volumes=4)

    data = ground.cloud.fire(wanted(instance_id, exclude_boot_volume=True), SECONDS)
    some = ground.cloud.fire(wanted(instance_id, exclude_volume_ids=(first, third)), SECONDS)

    assert {each.volume_id for each in data} == {first, second, third}
    assert {each.volume_id for each in some} == {root, second}


@pytest.mark.parametrize("case", ["the root by its id", "a stranger", "all of them", "too many"])
def test_an_impossible_exclusion_is_rejected_and_makes_nothing(ground: Ground, case: str) -> None:
    instance_id, root, data = ground.add_instance(volumes=2)
    excluded = {
        "the root by its id": (root,),
        "a stranger": (ground.add_volume(),),
        "all of them": (data,),
        "too many": tuple(f"vol-{number:017x}" for number in range(41)),
    }[case]
    request = wanted(
        instance_id, exclude_boot_volume=case == "all of them", exclude_volume_ids=excluded
    )

    with pytest.raises(RejectedError, match=f"CreateSnapshots of {instance_id} in {REGION}"):
        ground.cloud.prove(request)
    with pytest.raises(RejectedError, match=f"CreateSnapshots of {instance_id} in {REGION}"):
        ground.cloud.fire(request, SECONDS)

    assert of_run(ground) == []


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (wanted("i-0123456789abcdef0"), "i-0123456789abcdef0"),
        (wanted("i-nonsense"), "i-nonsense"),
        (wanted(volume_id="vol-0123456789abcdef0"), "vol-0123456789abcdef0"),
        (wanted(volume_id="vol-nonsense"), "vol-nonsense"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_exist_cannot_be_fired(
    ground: Ground, request_: FireRequest, named: str
) -> None:
    with pytest.raises(NotFoundError, match=f"{named} in {REGION}"):
        ground.cloud.prove(request_)
    with pytest.raises(NotFoundError, match=f"{named} in {REGION}"):
        ground.cloud.fire(request_, SECONDS)

    assert of_run(ground) == []


def test_a_terminated_instance_cannot_be_fired(ground: Ground) -> None:
    request = wanted(ground.add_terminated())

    with pytest.raises(RejectedError):
        ground.cloud.prove(request)
    with pytest.raises(RejectedError):
        ground.cloud.fire(request, SECONDS)

    assert of_run(ground) == []


def test_tags_beyond_what_aws_takes_are_cut_and_ours_stay(ground: Ground) -> None:
    many = {f"{'k' * 130}{number}"[-140:]: "v" for number in range(10)}
    many |= {f"other-{number:03}": "v" * 300 for number in range(60)}
    request = wanted(volume_id=ground.add_volume(), description="d" * 300)
    request = dataclasses.replace(request, tags={**many, **request.tags})

    fired = ground.cloud.fire(request, SECONDS)

    tags = fired[0].tags
    assert len(tags) <= 50
    assert tags["Name"] == "nightly"
    assert tags["n2wbackup:run"] == "a-run"
    assert {len(value) for key, value in tags.items() if key.startswith("other")} == {256}
    assert max(len(key) for key in tags) <= 128


def test_proving_makes_nothing(ground: Ground) -> None:
    instance_id, *_ = ground.add_instance(volumes=2)

    ground.cloud.prove(wanted(instance_id))
    ground.cloud.prove(wanted(volume_id=ground.add_volume()))

    assert of_run(ground) == []


def test_snapshots_complete(ground: Ground) -> None:
    snapshot_id = ground.cloud.fire(wanted(volume_id=ground.add_volume()), SECONDS)[0].snapshot_id
    pending = ground.cloud.describe(REGION, [snapshot_id])[snapshot_id]

    ground.settle("completed")

    completed = ground.cloud.describe(REGION, [snapshot_id])[snapshot_id]
    assert (pending.state, completed.state) == ("pending", "completed")
    assert pending.progress < completed.progress == 100


def test_a_failed_snapshot_says_why(ground: Ground) -> None:
    snapshot_id = ground.cloud.fire(wanted(volume_id=ground.add_volume()), SECONDS)[0].snapshot_id

    ground.settle("error")

    failed = ground.cloud.describe(REGION, [snapshot_id])[snapshot_id]
    assert failed.state == "error"
    assert failed.message


def test_snapshots_that_do_not_exist_are_absent_however_many(ground: Ground) -> None:
    instance_id, *_ = ground.add_instance(volumes=4)
    kept, deleted, other, _unasked = ground.cloud.fire(wanted(instance_id), SECONDS)
    ground.delete_snapshot(deleted.snapshot_id)
    absent = [f"snap-{number:017x}" for number in range(2**60, 2**60 + 450)]
    asked = [kept.snapshot_id, deleted.snapshot_id, *absent, "nonsense", "*", other.snapshot_id]

    found = ground.cloud.describe(REGION, asked)

    assert set(found) == {kept.snapshot_id, other.snapshot_id}


def test_the_snapshots_of_a_run_are_found_by_its_tags_beyond_one_page(ground: Ground) -> None:
    ids = [ground.add_instance(volumes=21)[0] for _ in range(10)]
    fired = [each for i in ids for each in ground.cloud.fire(wanted(i, run="this"), SECONDS)]
    ground.cloud.fire(wanted(ids[0], run="other"), SECONDS)
    strangers = wanted(ids[0], run="this", tags={"n2wbackup:run": "this"})
    ground.cloud.fire(strangers, SECONDS)

    found = of_run(ground, run="this")

    assert len(found) == 210
    assert {each.snapshot_id for each in found} == {each.snapshot_id for each in fired}


def test_all_of_a_server_s_snapshots_are_found_by_its_tag_whichever_run_made_them(
    ground: Ground,
) -> None:
    (volume, other) = ground.add_volume(), ground.add_volume()
    ground.cloud.fire(wanted(volume_id=volume, run="this"), SECONDS)
    ground.cloud.fire(wanted(volume_id=other, run="that"), SECONDS)

    found = ground.cloud.of_server(REGION, SERVER)

    assert {snapshot.tags["n2wbackup:run"] for snapshot in found} >= {"this", "that"}
    assert ground.cloud.of_server(REGION, "another-server") == []
    assert ground.cloud.of_server("eu-west-1", SERVER) == []


def test_snapshots_are_of_one_region(ground: Ground) -> None:
    snapshot_id = ground.cloud.fire(wanted(volume_id=ground.add_volume()), SECONDS)[0].snapshot_id

    assert ground.cloud.describe("eu-west-1", [snapshot_id]) == {}
    assert ground.cloud.of_run("eu-west-1", SERVER, "a-run") == []
    with pytest.raises(NotFoundError):
        ground.cloud.tag("eu-west-1", [snapshot_id], {"extra": "1"})


def test_tagging_adds_and_replaces(ground: Ground) -> None:
    instance_id, *_ = ground.add_instance(volumes=2)
    ids = [each.snapshot_id for each in ground.cloud.fire(wanted(instance_id), SECONDS)]

    ground.cloud.tag(REGION, ids, {"n2wbackup:before": "succeeded", "Name": "renamed"})

    for each in ground.cloud.describe(REGION, ids).values():
        assert each.tags["n2wbackup:before"] == "succeeded"
        assert each.tags["Name"] == "renamed"
        assert each.tags["n2wbackup:run"] == "a-run"


def test_tagging_what_is_gone_fails_and_tags_nothing(ground: Ground) -> None:
    snapshot_id = ground.cloud.fire(wanted(volume_id=ground.add_volume()), SECONDS)[0].snapshot_id

    with pytest.raises(NotFoundError):
        ground.cloud.tag(REGION, [snapshot_id, "snap-0123456789abcdef0"], {"extra": "1"})

    assert "extra" not in ground.cloud.describe(REGION, [snapshot_id])[snapshot_id].tags


@pytest.mark.parametrize(
    ("kind", "error", "made"),
    [
        ("throttled", ThrottledError, 0),
        ("denied", NotPermittedError, 0),
        ("failed", AnswerLostError, 0),
        ("lost", AnswerLostError, 2),
    ],
)
def test_a_fire_that_fails_is_told_once_and_not_repeated(
    ground: Ground, kind: Kind, error: type[AwsError], made: int
) -> None:
    instance_id, *_ = ground.add_instance(volumes=2)
    ground.fail_fire(kind)

    with pytest.raises(error):
        ground.cloud.fire(wanted(instance_id), SECONDS)

    assert len(of_run(ground)) == made
    assert len(ground.cloud.fire(wanted(instance_id), SECONDS)) == 2


def test_without_time_nothing_is_fired(ground: Ground) -> None:
    instance_id, *_ = ground.add_instance(volumes=1)

    with pytest.raises(UnreachableError, match="no time was left"):
        ground.cloud.fire(wanted(instance_id), 0)

    assert of_run(ground) == []


def test_a_read_that_fails_inside_aws_may_be_asked_again(ground: Ground) -> None:
    ground.fail_reads()

    with pytest.raises(UnreachableError):
        ground.cloud.describe(REGION, ["snap-0123456789abcdef0"])


def test_warming_may_be_repeated(ground: Ground) -> None:
    ground.cloud.warm(REGION, 3)
    ground.cloud.warm(REGION, 3)
    ground.cloud.warm(REGION, 0)
