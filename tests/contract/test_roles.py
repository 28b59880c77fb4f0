"""Roles that the server assumes, and credentials that end: nothing of it happens inside a window."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import time_machine
from pytest_django import Settings

from n2wbackup.demo.aws import SimulatedAws, VolumeSpec
from n2wbackup.lib import home
from policies.adapters import roles
from policies.adapters.clients import Clients
from policies.adapters.ec2 import Ec2Cloud
from policies.domain.errors import (
    AwsError,
    CredentialsError,
    NotPermittedError,
    ThrottledError,
    UnreachableError,
)
from policies.ports import Cloud, Credentials
from tests.contract.clouds import REGION, SECONDS, enter, wanted

ROLE = "arn:aws:iam::210987654321:role/backup"
MINE, THEIRS = "2f0e6c1e-0000-4000-8000-000000000001", "2f0e6c1e-0000-4000-8000-000000000002"
WINDOW_SECONDS = 600.0


@pytest.fixture
def aws(
    simulated_aws: SimulatedAws,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    settings: Settings,
) -> SimulatedAws:
    settings.N2W_HOME = tmp_path
    enter(simulated_aws, monkeypatch, tmp_path)
    return simulated_aws


def cloud_of(role_arn: str = ROLE, external_id: str = MINE) -> Cloud:
    return Ec2Cloud(Clients(Credentials(role_arn=role_arn, external_id=external_id)))


def assumed(aws: SimulatedAws) -> int:
    """How often a role has been handed out."""
    return sum(call.outcome == "ok" for call in aws.calls("AssumeRole"))


def test_a_role_is_assumed_with_the_accounts_external_id_and_the_servers_name(
    aws: SimulatedAws,
) -> None:
    aws.add_role(ROLE, MINE)
    instance = aws.add_instance(REGION, [VolumeSpec()])
    cloud = cloud_of()

    cloud.renew(WINDOW_SECONDS)
    cloud.warm(REGION, 2)
    made = cloud.fire(wanted(instance.instance_id), SECONDS)

    assert list(cloud.describe(REGION, [made[0].snapshot_id])) == [made[0].snapshot_id]
    session = f"n2wbackup-{home.server_id()[:8]}"
    assert cloud.caller(REGION).arn == f"arn:aws:sts::210987654321:assumed-role/backup/{session}"
    (call,) = [call for call in aws.calls("AssumeRole") if call.outcome == "ok"]
    assert call.parameters["ExternalId"] == MINE
    assert call.parameters["DurationSeconds"] == "3600"
    assert {c.access_key_id[:4] for c in aws.calls("CreateSnapshots")} == {"ASIA"}


def test_a_role_that_waits_for_another_accounts_external_id_is_not_reached(
    aws: SimulatedAws,
) -> None:
    aws.add_role(ROLE, THEIRS)
    instance = aws.add_instance(REGION, [VolumeSpec()])

    with pytest.raises(CredentialsError) as caught:
        cloud_of().fire(wanted(instance.instance_id), SECONDS)

    key = aws.environment["AWS_ACCESS_KEY_ID"]
    assert f'"AWS": "arn:aws:iam::123456789012:user/{key}"' in str(caught.value)
    assert f'"StringEquals": {{"sts:ExternalId": "{MINE}"}}' in str(caught.value)
    assert THEIRS not in str(caught.value)
    assert aws.snapshots() == []


def test_a_role_that_asks_for_no_external_id_is_not_used(aws: SimulatedAws) -> None:
    aws.add_role(ROLE, "")

    with pytest.raises(CredentialsError, match="lets this server in without the account's ext"):
        cloud_of().volumes(REGION, ["vol-0123456789abcdef0"])

    assert aws.calls("DescribeVolumes") == []


def test_a_server_that_may_not_assume_is_told_so(
    aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.add_role(ROLE, MINE)
    aws.add_account("AKIASERVER0000000001", "a-secret", ["ec2:*"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASERVER0000000001")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")

    with pytest.raises(CredentialsError, match="own identity lacks the permission sts:AssumeRole"):
        cloud_of().warm(REGION, 1)


def _no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


def _wrong_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANOBODY0000000001")


def _no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("spoil", "error", "told"),
    [
        (_no_identity, CredentialsError, "needs a valid AWS identity of its own"),
        (_wrong_identity, CredentialsError, "InvalidClientTokenId.*needs a valid AWS identity"),
        (_no_endpoint, UnreachableError, "^AssumeRole of arn.*no connection to AWS's endpoint"),
    ],
)
def test_what_keeps_the_server_from_asking_is_one_sentence(
    aws: SimulatedAws,
    monkeypatch: pytest.MonkeyPatch,
    spoil: "object",
    error: type[AwsError],
    told: str,
) -> None:
    aws.add_role(ROLE, MINE)
    assert callable(spoil)
    spoil(monkeypatch)

    with pytest.raises(error, match=told) as caught:
        cloud_of().renew(WINDOW_SECONDS)

    assert str(caught.value).count(". ") == 0


def test_a_missing_permission_of_a_role_is_named(aws: SimulatedAws) -> None:
    aws.add_role(ROLE, MINE, ["ec2:CreateSnapshots"])
    instance = aws.add_instance(REGION, [VolumeSpec()])

    with pytest.raises(NotPermittedError, match="lack the permission ec2:CreateTags") as caught:
        cloud_of().prove(wanted(instance.instance_id))

    assert caught.value.permission == "ec2:CreateTags"


def test_credentials_are_renewed_before_a_window_and_never_inside_it(aws: SimulatedAws) -> None:
    """So few seconds are left that botocore would renew them with every call."""
    aws.add_role(ROLE, MINE)
    aws.configure(role_seconds=roles.INSIST_SECONDS + 30)
    instance = aws.add_instance(REGION, [VolumeSpec()])
    cloud = cloud_of()
    cloud.warm(REGION, 1)
    before = assumed(aws)
    cloud.describe(REGION, ["snap-00000000"])
    assert assumed(aws) == before + 1  # this is what a call inside a window must not do

    cloud.renew(WINDOW_SECONDS)
    cloud.warm(REGION, 1)
    renewed = assumed(aws)
    aws.fault("AssumeRole", "hang", times=None, seconds=60)
    cloud.fire(wanted(instance.instance_id), SECONDS)

    assert renewed == before + 2
    assert len(aws.calls("AssumeRole")) == renewed + 1  # and the one with a wrong external id
    aws.clear_faults()


def test_credentials_that_live_long_enough_are_not_renewed(aws: SimulatedAws) -> None:
    aws.add_role(ROLE, MINE)
    cloud = cloud_of()

    for _ in range(3):
        cloud.renew(WINDOW_SECONDS)
        cloud.describe(REGION, ["snap-00000000"])

    assert assumed(aws) == 1


def test_where_they_cannot_be_renewed_those_that_outlive_the_window_do(aws: SimulatedAws) -> None:
    aws.add_role(ROLE, MINE)
    aws.configure(role_seconds=roles.INSIST_SECONDS + 30)
    cloud = cloud_of()
    cloud.renew(WINDOW_SECONDS)
    aws.fault("AssumeRole", "denied", times=None)

    cloud.renew(WINDOW_SECONDS)

    assert assumed(aws) == 1 + 1


def test_without_credentials_that_outlive_it_no_window_is_begun(aws: SimulatedAws) -> None:
    aws.add_role(ROLE, MINE)
    aws.configure(role_seconds=roles.INSIST_SECONDS - 30)
    cloud = cloud_of()
    cloud.caller(REGION)
    aws.add_role(ROLE, THEIRS)  # the trust is taken back

    with pytest.raises(CredentialsError, match="let the role's trust policy allow"):
        cloud.renew(WINDOW_SECONDS)


@contextmanager
def metadata(keys: dict[str, str], lifetime: timedelta) -> Iterator[tuple[str, list[str]]]:
    """Play the instance's metadata service: its role's keys, which end so late after each question."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self._say("a-token")

        def do_GET(self) -> None:
            asked.append(self.path)
            if not self.path.endswith("/server"):
                self._say("server")
                return
            ends = datetime.now(tz=UTC) + lifetime
            content = {
                "Code": "Success",
                "AccessKeyId": keys["AWS_ACCESS_KEY_ID"],
                "SecretAccessKey": keys["AWS_SECRET_ACCESS_KEY"],
                "Token": "",
                "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            self._say(json.dumps(content))

        def _say(self, text: str) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_given: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", asked
        server.shutdown()
        thread.join()


@pytest.fixture
def bare(aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Take the keys out of the environment, so that only the metadata service has them."""
    keys = dict(aws.environment)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    return keys


def test_the_instances_own_role_is_renewed_before_a_window_and_never_inside_it(
    aws: SimulatedAws, bare: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = aws.add_instance(REGION, [VolumeSpec()])
    begun = datetime.now(tz=UTC)
    # More than the 25 minutes below which botocore may take them for longer lived than they are.
    with metadata(bare, timedelta(minutes=27)) as (url, asked):
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        cloud = Ec2Cloud(Clients(Credentials()))
        cloud.warm(REGION, 1)
        before = len(asked)
        with time_machine.travel(begun + timedelta(minutes=13)):
            cloud.describe(REGION, ["snap-00000000"])
            assert len(asked) > before  # botocore renews in the last 15 minutes
            cloud.renew(WINDOW_SECONDS)
            cloud.warm(REGION, 1)
        before = len(asked)
        with time_machine.travel(begun + timedelta(minutes=26)):
            cloud.fire(wanted(instance.instance_id), SECONDS)
        assert len(asked) == before


def test_a_window_waits_for_the_instances_next_keys(
    aws: SimulatedAws, bare: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with metadata(bare, timedelta(hours=6)) as (url, _):
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        cloud = Ec2Cloud(Clients(Credentials()))

        with pytest.raises(
            ThrottledError, match="expire before the end of a window of up to 30000 s"
        ):
            cloud.renew(30_000)
        cloud.renew(WINDOW_SECONDS)
