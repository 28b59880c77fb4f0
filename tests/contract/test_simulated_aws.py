"""The simulated AWS as a process, and its permissions."""

import http.client
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from n2wbackup.demo.aws import SimulatedAws, SimulatorError, VolumeSpec
from tests.contract.aws_clients import ec2, refused, ssm

LIMITED, SECRET = "AKIALIMITEDLIMITED00", "a-secret"


def wait_until(done: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "the condition never became true"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_two_at_once_have_ports_and_states_of_their_own(
    simulated_aws: SimulatedAws, tmp_path: Path
) -> None:
    simulated_aws.add_instance()
    with SimulatedAws(tmp_path / "other") as other:
        assert other.endpoint_url != simulated_aws.endpoint_url
        assert ec2(other).describe_instances()["Reservations"] == []
        with pytest.raises(ClientError) as raised:
            ec2(other, key=simulated_aws.environment["AWS_ACCESS_KEY_ID"]).describe_instances()
    assert refused(raised) == ("AuthFailure", 401)
    assert len(ec2(simulated_aws).describe_instances()["Reservations"]) == 1


def test_it_ends_when_its_parent_is_killed_and_not_with_the_thread_that_started_it(
    tmp_path: Path,
) -> None:
    program = """
import sys, threading, time
from pathlib import Path
from n2wbackup.demo.aws import SimulatedAws
aws = SimulatedAws(Path(sys.argv[1]))
thread = threading.Thread(target=aws.start)
thread.start()
thread.join()
time.sleep(0.3)
aws.add_instance()
print(aws.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))


def test_it_says_nothing_and_names_no_secret_in_the_process_list(
    simulated_aws: SimulatedAws,
) -> None:
    ec2(simulated_aws).describe_instances()
    with pytest.raises(ClientError):
        ec2(simulated_aws).describe_snapshots(SnapshotIds=["snap-nonsense"])
    assert (simulated_aws.state_dir / "server.log").read_text() == ""
    command = Path(f"/proc/{simulated_aws.pid}/cmdline").read_text()
    environment = Path(f"/proc/{simulated_aws.pid}/environ").read_text()
    secret = simulated_aws.environment["AWS_SECRET_ACCESS_KEY"]
    assert secret not in command + environment
    assert (simulated_aws.state_dir / "simulator.json").stat().st_mode & 0o777 == 0o600


def test_started_by_hand_it_says_where_it_listens_and_ends_at_a_signal(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "n2wbackup.demo.aws", "--state", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        door = json.loads((tmp_path / "simulator.json").read_text())
        assert door["endpoint_url"] in line
        assert door["secret_access_key"] not in line
        server.terminate()
        assert server.wait(60) == 0


def test_what_keeps_it_from_starting_is_told(tmp_path: Path) -> None:
    (tmp_path / "simulator.json").mkdir()
    aws = SimulatedAws(tmp_path)
    with pytest.raises(SimulatorError, match="IsADirectoryError"):
        aws.start()
    assert aws.pid == 0


def test_a_start_with_an_unknown_option_leaves_no_process_behind(tmp_path: Path) -> None:
    aws = SimulatedAws(tmp_path, pending=1)  # type: ignore[call-arg]
    with pytest.raises(SimulatorError, match="no option pending"):
        aws.start()
    assert aws.pid == 0
    with pytest.raises(ConnectionRefusedError):
        aws.calls()


def test_the_control_door_opens_only_to_its_token(simulated_aws: SimulatedAws) -> None:
    address = urlsplit(simulated_aws.endpoint_url)
    door = http.client.HTTPConnection(str(address.hostname), address.port)
    door.request("POST", "/_simulator/add_volume", "{}", {"X-Simulator-Token": "guessed"})
    assert door.getresponse().status == 403
    door.close()
    assert ec2(simulated_aws).describe_volumes()["Volumes"] == []


def test_a_connection_stays_open_and_no_answer_waits_for_an_acknowledgement(
    simulated_aws: SimulatedAws,
) -> None:
    """The second of two small packets would wait; so each answer is one."""
    address = urlsplit(simulated_aws.endpoint_url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port)
    connection.connect()
    first = connection.sock
    for number in range(1, 21):
        connection.request("POST", "/", "Action=DescribeRegions")
        connection.getresponse().read()
        assert connection.sock is first
        assert _packets(first) == number
    connection.close()


def _packets(connection: socket.socket) -> int:
    """Return how many packets with data have come (`tcpi_data_segs_in` of Linux)."""
    found: int = struct.unpack_from(
        "I", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 156), 152
    )[0]
    return found


def test_unknown_options_and_wrong_furniture_are_refused(
    simulated_aws: SimulatedAws, tmp_path: Path
) -> None:
    with pytest.raises(SimulatorError, match="no option pending"):
        simulated_aws.configure(pending=1)  # type: ignore[call-arg]
    with pytest.raises(SimulatorError, match="no region 'mars-1'"):
        simulated_aws.add_instance("mars-1")
    with pytest.raises(SimulatorError, match="neither a file nor a folder"):
        simulated_aws.add_volume(volume=VolumeSpec(backing=tmp_path / "missing"))
    with pytest.raises(SimulatorError, match="not a folder"):
        simulated_aws.add_instance(folder=tmp_path / "missing")
    assert ec2(simulated_aws).describe_volumes()["Volumes"] == []


@pytest.mark.parametrize("wrong", ["key", "secret"])
def test_wrong_credentials_are_refused_in_the_words_of_each_service(
    simulated_aws: SimulatedAws, wrong: str
) -> None:
    key, secret = ("AKIAWRONGWRONGWRONG0", "") if wrong == "key" else ("", "wrong")
    with pytest.raises(ClientError, match="not able to validate the provided access") as raised:
        ec2(simulated_aws, key=key, secret=secret).describe_instances()
    assert refused(raised) == ("AuthFailure", 401)
    with pytest.raises(ClientError) as raised:
        ssm(simulated_aws, key=key, secret=secret).describe_instance_information()
    expected = {"key": "UnrecognizedClientException", "secret": "InvalidSignatureException"}
    assert refused(raised) == (expected[wrong], 400)


def test_a_key_may_do_only_what_it_is_allowed(simulated_aws: SimulatedAws) -> None:
    instance = simulated_aws.add_instance()
    allowed = ["ec2:Describe*", "ec2:CreateSnapshots"]
    simulated_aws.add_account(LIMITED, SECRET, allowed)
    client = ec2(simulated_aws, key=LIMITED, secret=SECRET)
    client.describe_instances()
    with pytest.raises(ClientError, match="not authorized") as raised:
        client.create_snapshot(VolumeId=instance.root_volume_id)
    assert refused(raised) == ("UnauthorizedOperation", 403)
    with pytest.raises(ClientError, match="ec2:CreateTags") as raised:
        client.create_snapshots(
            InstanceSpecification={"InstanceId": instance.instance_id},
            TagSpecifications=[
                {"ResourceType": "snapshot", "Tags": [{"Key": "Name", "Value": "x"}]}
            ],
        )
    assert refused(raised) == ("UnauthorizedOperation", 403)
    with pytest.raises(ClientError) as raised:
        ssm(simulated_aws, key=LIMITED, secret=SECRET).describe_instance_information()
    assert refused(raised) == ("AccessDeniedException", 400)
    assert simulated_aws.snapshots() == []
    client.create_snapshots(InstanceSpecification={"InstanceId": instance.instance_id})
    assert len(simulated_aws.snapshots()) == 1


def test_a_region_that_does_not_exist_knows_no_key(simulated_aws: SimulatedAws) -> None:
    with pytest.raises(ClientError) as raised:
        ec2(simulated_aws, region="mars-1").describe_instances()
    assert refused(raised) == ("AuthFailure", 401)


@pytest.mark.parametrize("code", ["AuthFailure", "OptInRequired"])
def test_a_region_that_is_off_answers_so_and_is_shown_so(
    simulated_aws: SimulatedAws, code: str
) -> None:
    simulated_aws.configure(regions_off=["me-south-1"], region_off_error=code)
    with pytest.raises(ClientError) as raised:
        ec2(simulated_aws, region="me-south-1").describe_instances()
    assert refused(raised) == (code, 401)
    client = ec2(simulated_aws)
    names = {each.get("RegionName") for each in client.describe_regions()["Regions"]}
    assert "us-east-1" in names
    assert "me-south-1" not in names
    shown = client.describe_regions(AllRegions=True, RegionNames=["me-south-1"])["Regions"]
    assert [each.get("OptInStatus") for each in shown] == ["not-opted-in"]


def test_dry_runs_answer_as_aws_does_and_do_nothing(simulated_aws: SimulatedAws) -> None:
    instance = simulated_aws.add_instance()
    client, volume_id = ec2(simulated_aws), instance.root_volume_id
    specification = {"InstanceId": instance.instance_id}
    snapshot_id = client.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    tags = [{"Key": "Name", "Value": "x"}]
    loose = simulated_aws.add_volume()
    calls: list[Callable[[], object]] = [
        lambda: client.create_snapshots(InstanceSpecification=specification, DryRun=True),  # type: ignore[arg-type]
        lambda: client.create_snapshot(VolumeId=volume_id, DryRun=True),
        lambda: client.create_tags(Resources=[snapshot_id], Tags=tags, DryRun=True),  # type: ignore[arg-type]
        lambda: client.delete_snapshot(SnapshotId=snapshot_id, DryRun=True),
        lambda: client.describe_snapshots(DryRun=True),
        lambda: client.describe_instances(DryRun=True),
        lambda: client.describe_volumes(DryRun=True),
        lambda: client.describe_regions(DryRun=True),
        lambda: client.describe_security_groups(DryRun=True),
        lambda: client.delete_volume(VolumeId=loose, DryRun=True),
    ]
    for call in calls:
        with pytest.raises(ClientError, match="DryRun flag is set") as raised:
            call()
        assert refused(raised) == ("DryRunOperation", 412)
    assert [(each.snapshot_id, each.tags) for each in simulated_aws.snapshots()] == [
        (snapshot_id, {})
    ]
    simulated_aws.add_account(LIMITED, SECRET, "ec2:Describe*")
    with pytest.raises(ClientError) as raised:
        ec2(simulated_aws, key=LIMITED, secret=SECRET).create_snapshots(
            InstanceSpecification={"InstanceId": instance.instance_id}, DryRun=True
        )
    assert refused(raised) == ("UnauthorizedOperation", 403)
    assert simulated_aws.calls()[-1].dry_run


def test_a_dry_run_on_what_does_not_exist_says_so(simulated_aws: SimulatedAws) -> None:
    client, unknown = ec2(simulated_aws), "0123456789abcdef0"
    with pytest.raises(ClientError) as raised:
        client.create_snapshots(InstanceSpecification={"InstanceId": f"i-{unknown}"}, DryRun=True)
    assert refused(raised) == ("InvalidInstanceID.NotFound", 400)
    with pytest.raises(ClientError) as raised:
        client.create_snapshots(InstanceSpecification={"InstanceId": "web1"}, DryRun=True)
    assert refused(raised) == ("InvalidInstanceID.Malformed", 400)
    with pytest.raises(ClientError) as raised:
        client.create_snapshot(VolumeId=f"vol-{unknown}", DryRun=True)
    assert refused(raised) == ("InvalidVolume.NotFound", 400)
    with pytest.raises(ClientError) as raised:
        client.create_tags(
            Resources=[f"snap-{unknown}"], Tags=[{"Key": "a", "Value": "b"}], DryRun=True
        )
    assert refused(raised) == ("InvalidSnapshot.NotFound", 400)


def test_hundreds_of_instances_are_described_page_by_page(simulated_aws: SimulatedAws) -> None:
    made = [simulated_aws.add_instance(name=f"web{number}") for number in range(210)]
    pages = ec2(simulated_aws).get_paginator("describe_instances")
    found = [
        instance
        for page in pages.paginate(PaginationConfig={"PageSize": 50})
        for reservation in page["Reservations"]
        for instance in reservation.get("Instances", [])
    ]
    assert [each.get("InstanceId") for each in found] == [each.instance_id for each in made]
    assert len(simulated_aws.calls("DescribeInstances")) == 5


def test_an_instance_shows_its_volumes_its_root_its_owner_and_its_tags(
    simulated_aws: SimulatedAws,
) -> None:
    made = simulated_aws.add_instance("eu-central-1", [VolumeSpec(8), VolumeSpec()], name="db")
    client = ec2(simulated_aws, "eu-central-1")
    loose = simulated_aws.add_volume("eu-central-1", VolumeSpec(type="st1", size_gib=125))
    assert client.describe_volumes(VolumeIds=[loose])["Volumes"][0]["State"] == "available"
    simulated_aws.attach(loose, made.instance_id, "eu-central-1")
    reservation = client.describe_instances(InstanceIds=[made.instance_id])["Reservations"][0]
    assert reservation.get("OwnerId") == "123456789012"
    shown = reservation["Instances"][0]
    devices = {each["Ebs"]["VolumeId"]: each["DeviceName"] for each in shown["BlockDeviceMappings"]}
    assert list(devices) == [*made.volume_ids, loose]
    assert devices[made.root_volume_id] == shown["RootDeviceName"]
    assert shown["Tags"] == [{"Key": "Name", "Value": "db"}]
    volume = client.describe_volumes(VolumeIds=[loose])["Volumes"][0]
    assert (volume["VolumeType"], volume["State"], volume["Size"]) == ("st1", "in-use", 125)
    assert volume["Attachments"][0]["InstanceId"] == made.instance_id
    by_name = [{"Name": "tag:Name", "Values": ["d*"]}]
    assert client.describe_instances(Filters=by_name)["Reservations"]  # type: ignore[arg-type]
    simulated_aws.detach(loose, "eu-central-1")
    assert not client.describe_volumes(VolumeIds=[loose])["Volumes"][0].get("Attachments")
    with pytest.raises(ClientError) as raised:
        ec2(simulated_aws).describe_instances(InstanceIds=[made.instance_id])
    assert refused(raised) == ("InvalidInstanceID.NotFound", 400)


def test_volumes_are_made_of_our_snapshots_and_what_nobody_plays_is_refused(
    simulated_aws: SimulatedAws,
) -> None:
    instance, client = simulated_aws.add_instance(), ec2(simulated_aws)
    snapshot_id = client.create_snapshot(VolumeId=instance.root_volume_id)["SnapshotId"]
    simulated_aws.settle_snapshots("completed")
    volume = client.create_volume(AvailabilityZone="us-east-1a", SnapshotId=snapshot_id)
    assert volume["SnapshotId"] == snapshot_id
    assert len(client.describe_volumes()["Volumes"]) == 2
    with pytest.raises(ClientError, match="does not support ModifySnapshotTier"):
        client.modify_snapshot_tier(SnapshotId=snapshot_id, StorageTier="archive")


def test_every_call_is_in_the_journal_with_what_it_needs(simulated_aws: SimulatedAws) -> None:
    instance, client = simulated_aws.add_instance(), ec2(simulated_aws)
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "Name", "Value": "x"}]}]
    client.create_snapshots(
        InstanceSpecification={"InstanceId": instance.instance_id},
        TagSpecifications=tags,  # type: ignore[arg-type]
    )
    with pytest.raises(ClientError):
        client.describe_snapshots(SnapshotIds=["snap-0123456789abcdef0"])
    first, second = simulated_aws.calls()
    assert (first.service, first.action, first.region) == ("ec2", "CreateSnapshots", "us-east-1")
    assert first.permissions == ("ec2:CreateSnapshots", "ec2:CreateTags")
    assert first.access_key_id == simulated_aws.environment["AWS_ACCESS_KEY_ID"]
    assert first.parameters["InstanceSpecification.InstanceId"] == instance.instance_id
    assert (first.outcome, first.dry_run) == ("ok", False)
    assert 0 < first.service_seconds < 20
    assert second.outcome == "InvalidSnapshot.NotFound"
    assert simulated_aws.calls("CreateSnapshots") == [first]
    simulated_aws.forget_calls()
    assert simulated_aws.calls() == []


def test_many_threads_at_once_lose_nothing(simulated_aws: SimulatedAws) -> None:
    instances = [simulated_aws.add_instance() for _ in range(8)]
    client = ec2(simulated_aws)

    def fire(instance_id: str) -> None:
        client.create_snapshots(InstanceSpecification={"InstanceId": instance_id})
        client.describe_instances()

    threads = [threading.Thread(target=fire, args=(each.instance_id,)) for each in instances]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert {each.instance_id for each in simulated_aws.snapshots()} == {
        each.instance_id for each in instances
    }
    assert (simulated_aws.state_dir / "server.log").stat().st_size == 0
