"""Parts of EC2's `Cloud` only: connections, timeouts, credentials, and AWS's errors about them."""

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from n2wbackup.demo.aws import SimulatedAws, VolumeSpec
from policies.adapters import firing, session
from policies.adapters.clients import Clients
from policies.adapters.ec2 import Ec2Cloud
from policies.adapters.translate import Call
from policies.domain.errors import (
    AnswerLostError,
    CredentialsError,
    NotPermittedError,
    RegionError,
    ThrottledError,
    UnreachableError,
)
from policies.ports import Cloud, Credentials, Snapshot
from tests.contract.clouds import REGION, SECONDS, wanted

QUICKLY = 15.0  # a machine with much other work; what would keep a call waiting takes longer

SECRET = "a-secret-that-must-not-show"


def connections(aws: SimulatedAws) -> set[str]:
    """Return the open connections from this machine to the simulated AWS, by their near end."""
    port = f":{urlsplit(aws.endpoint_url).port:04X}"
    established = "01"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[1] for row in rows if row[2].endswith(port) and row[3] == established}


def at_once(calls: int, call: Callable[[int], object]) -> None:
    start = threading.Barrier(calls)

    def run(number: int) -> None:
        start.wait()
        call(number)

    with ThreadPoolExecutor(calls) as pool:
        list(pool.map(run, range(calls)))


def test_warming_opens_the_connections_that_fire_uses(aws: SimulatedAws, cloud: Cloud) -> None:
    volume_ids = [aws.add_volume(REGION) for _ in range(12)]
    aws.configure(latency_seconds={"CreateSnapshot": 0.3})
    before = connections(aws)

    cloud.warm(REGION, 12)

    warmed = connections(aws) - before
    assert len(warmed) == 12
    at_once(12, lambda number: cloud.fire(wanted(volume_id=volume_ids[number]), SECONDS))
    assert connections(aws) - before == warmed
    assert len(aws.snapshots()) == 12


def test_warming_again_opens_only_what_is_missing(aws: SimulatedAws, cloud: Cloud) -> None:
    before = connections(aws)
    cloud.warm(REGION, 4)
    first = connections(aws) - before

    cloud.warm(REGION, 6)

    assert len(first) == 4
    assert first < connections(aws) - before
    assert len(connections(aws) - before) == 6


def test_warming_takes_no_dry_run_and_makes_nothing(aws: SimulatedAws, cloud: Cloud) -> None:
    aws.forget_calls()

    cloud.warm(REGION, 5)

    assert [call.action for call in aws.calls()] == ["DescribeSnapshots"] * 5
    assert not any(call.dry_run for call in aws.calls())
    assert aws.snapshots() == []


def test_warming_when_throttled_has_opened_the_connections_all_the_same(
    aws: SimulatedAws, cloud: Cloud
) -> None:
    aws.fault("DescribeSnapshots", "throttle", times=None)
    before = connections(aws)

    cloud.warm(REGION, 4)

    assert len(connections(aws) - before) == 4


def test_warming_says_at_once_what_is_wrong(
    aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firing, "_GATE_SECONDS", 60.0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    started = time.monotonic()

    with pytest.raises(UnreachableError, match="no connection"):
        Ec2Cloud(Clients(Credentials())).warm(REGION, 8)

    assert time.monotonic() - started < QUICKLY


def test_a_connection_that_fails_holds_no_other_up(
    aws: SimulatedAws, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firing, "_GATE_SECONDS", 60.0)
    client = Clients(Credentials()).firing(Call("DescribeSnapshots", "", REGION))
    turns = iter(range(3))

    def ask() -> None:
        if next(turns) == 1:
            raise UnreachableError("Not this one.")
        client.describe_snapshots(OwnerIds=["self"])

    started = time.monotonic()
    with pytest.raises(UnreachableError, match="Not this one"):
        firing.open_connections(3, ask)

    assert time.monotonic() - started < QUICKLY


@pytest.mark.parametrize("timeout_seconds", [0.3, 1.0])
def test_fire_waits_no_longer_than_it_is_told(
    aws: SimulatedAws, cloud: Cloud, timeout_seconds: float
) -> None:
    instance = aws.add_instance(REGION, [VolumeSpec()])
    aws.fault("CreateSnapshots", "hang", seconds=20)
    cloud.warm(REGION, 1)
    started = time.monotonic()

    with pytest.raises(AnswerLostError, match="no answer came"):
        cloud.fire(wanted(instance.instance_id), timeout_seconds)

    assert timeout_seconds <= time.monotonic() - started < timeout_seconds + QUICKLY
    aws.clear_faults()
    assert len(cloud.fire(wanted(instance.instance_id), SECONDS)) == 1


def test_the_timeout_of_one_fire_is_not_that_of_another(aws: SimulatedAws, cloud: Cloud) -> None:
    slow, short = (aws.add_instance(REGION, [VolumeSpec()]).instance_id for _ in range(2))
    aws.configure(latency_seconds={"CreateSnapshots": 1.0})
    ends: dict[str, str] = {}

    def fire(number: int) -> None:
        instance_id, seconds = ((slow, SECONDS), (short, 0.2))[number]
        try:
            cloud.fire(wanted(instance_id), seconds)
            ends[instance_id] = "fired"
        except AnswerLostError:
            ends[instance_id] = "lost"

    at_once(2, fire)

    assert ends == {slow: "fired", short: "lost"}


def test_a_throttled_fire_is_one_call(aws: SimulatedAws, cloud: Cloud) -> None:
    instance = aws.add_instance(REGION, [VolumeSpec()])
    aws.fault("CreateSnapshots", "throttle", times=None)
    aws.forget_calls()

    with pytest.raises(ThrottledError):
        cloud.fire(wanted(instance.instance_id), SECONDS)

    assert len(aws.calls("CreateSnapshots")) == 1


def test_a_read_survives_a_passing_fault(aws: SimulatedAws, cloud: Cloud) -> None:
    snapshot = cloud.fire(wanted(volume_id=aws.add_volume(REGION)), SECONDS)[0]
    aws.fault("DescribeSnapshots", "error_503")

    assert list(cloud.describe(REGION, [snapshot.snapshot_id])) == [snapshot.snapshot_id]


def test_only_our_own_snapshots_are_asked_for_and_200_at_a_time(
    aws: SimulatedAws, cloud: Cloud
) -> None:
    aws.forget_calls()

    cloud.describe(REGION, [f"snap-{number:017x}" for number in range(450)])
    cloud.of_run(REGION, "a-server", "a-run")

    asked = [call.parameters for call in aws.calls("DescribeSnapshots")]
    assert len(asked) == 4
    assert all(each["Owner.1"] == "self" for each in asked)
    assert sum("Filter.1.Value.200" in each for each in asked) == 2
    assert not any("SnapshotId.1" in each for each in asked)


def test_a_new_client_has_rehearsed_without_asking_aws(aws: SimulatedAws, cloud: Cloud) -> None:
    aws.forget_calls()

    cloud.warm(REGION, 0)

    assert aws.calls() == []
    assert aws.snapshots() == []


def test_the_keys_of_an_account_are_its_own(aws: SimulatedAws) -> None:
    aws.add_account("AKIAALICE00000000001", "alices-secret", ["ec2:DescribeVolumes"])
    volume_id = aws.add_volume(REGION)
    alice = Ec2Cloud(Clients(Credentials("AKIAALICE00000000001", "alices-secret")))

    assert list(alice.volumes(REGION, [volume_id])) == [volume_id]

    assert {call.access_key_id for call in aws.calls("DescribeVolumes")} == {"AKIAALICE00000000001"}


def test_a_missing_permission_is_named(aws: SimulatedAws) -> None:
    aws.add_account("AKIABOB0000000000001", SECRET, ["ec2:CreateSnapshots"])
    instance = aws.add_instance(REGION, [VolumeSpec()])
    bob = Ec2Cloud(Clients(Credentials("AKIABOB0000000000001", SECRET)))

    with pytest.raises(NotPermittedError, match="lack the permission ec2:CreateTags"):
        bob.prove(wanted(instance.instance_id))
    with pytest.raises(NotPermittedError, match="lack the permission ec2:CreateTags"):
        bob.fire(wanted(instance.instance_id), SECONDS)

    assert aws.snapshots() == []


@pytest.mark.parametrize("key_id", ["AKIASTRANGER00000001", "AKIAKNOWN00000000001"])
def test_wrong_keys_are_told_without_showing_them(aws: SimulatedAws, key_id: str) -> None:
    aws.add_account("AKIAKNOWN00000000001", "the right secret")
    volume_id = aws.add_volume(REGION)

    with pytest.raises(CredentialsError, match="key") as caught:
        Ec2Cloud(Clients(Credentials(key_id, SECRET))).volumes(REGION, [volume_id])

    assert SECRET not in str(caught.value)
    assert key_id not in str(caught.value)
    assert "DescribeVolumes" in str(caught.value)


@pytest.mark.parametrize(
    "credentials", [Credentials("AKIAKNOWN00000000001", ""), Credentials("", SECRET)]
)
def test_half_a_pair_of_keys_is_refused(aws: SimulatedAws, credentials: Credentials) -> None:
    with pytest.raises(CredentialsError, match="enter both"):
        Ec2Cloud(Clients(credentials)).warm(REGION, 1)

    assert aws.calls() == []


def test_without_any_credentials_it_says_so(
    aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(CredentialsError, match="no usable AWS credentials"):
        Ec2Cloud(Clients(Credentials())).warm(REGION, 1)


@pytest.mark.parametrize(
    ("answer", "error"), [("AuthFailure", CredentialsError), ("OptInRequired", RegionError)]
)
def test_a_region_that_is_off_is_named(
    aws: SimulatedAws, cloud: Cloud, answer: str, error: type[Exception]
) -> None:
    aws.configure(regions_off=["eu-south-2"], region_off_error=answer)

    with pytest.raises(error, match=r"eu-south-2.*enabled"):
        cloud.instances("eu-south-2", ["i-0123456789abcdef0"])


@pytest.mark.parametrize("region", ["", "us east", "-"])
def test_what_cannot_be_a_region_is_refused(cloud: Cloud, region: str) -> None:
    with pytest.raises(RegionError, match="region"):
        cloud.instances(region, ["i-0123456789abcdef0"])


def test_an_endpoint_that_is_no_url_is_refused(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")

    with pytest.raises(UnreachableError, match="AWS_ENDPOINT_URL is not a URL"):
        cloud.instances("eu-west-2", ["i-0123456789abcdef0"])


@contextmanager
def serving(answer: str, idle_seconds: float = 30.0) -> Iterator[str]:
    """Serve a URL that always gives this answer, and closes connections that are idle so long."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = idle_seconds

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_given: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_answer_that_cannot_be_read_may_be_of_a_deed(
    aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(
        "<CreateSnapshotResponse><startTime>never</startTime></CreateSnapshotResponse>"
    ) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        cloud = Ec2Cloud(Clients(Credentials()))

        with pytest.raises(AnswerLostError, match="could not be read"):
            cloud.fire(wanted(volume_id="vol-0123456789abcdef0"), SECONDS)


def test_a_connection_that_aws_closed_while_idle_is_opened_anew(
    aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = (
        "<R><snapshotId>snap-1</snapshotId><volumeId>vol-1</volumeId><status>pending</status></R>"
    )
    with serving(answer, idle_seconds=0.1) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        cloud = Ec2Cloud(Clients(Credentials()))
        cloud.warm(REGION, 2)
        time.sleep(0.5)

        assert cloud.fire(wanted(volume_id="vol-1"), SECONDS) == [
            Snapshot("snap-1", "vol-1", "pending")
        ]


def test_one_cloud_for_the_same_credentials_from_any_thread(aws: SimulatedAws) -> None:
    made: list[Cloud] = []

    at_once(16, lambda _: made.append(session.cloud(Credentials("AKIAALICE00000000001", "s"))))

    assert len({id(each) for each in made}) == 1
    assert session.cloud(Credentials("AKIABOB0000000000001", "s")) is not made[0]


def test_one_client_for_a_region_from_any_thread(aws: SimulatedAws) -> None:
    clients = Clients(Credentials())
    made: list[object] = []

    at_once(8, lambda _: made.append(clients.firing(Call("CreateSnapshots", "", REGION))))

    assert len({id(each) for each in made}) == 1
    assert clients.reading(Call("DescribeSnapshots", "", REGION)) is not made[0]
    assert clients.firing(Call("CreateSnapshots", "", "eu-west-1")) is not made[0]


def test_a_changed_environment_gives_another_cloud(
    aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = session.cloud(Credentials())

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    assert session.cloud(Credentials()) is not here
