"""EC2 Instance Connect: the adapter, the simulated AWS, and a real sshd that lets exactly that key in for a minute."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from n2wbackup.demo.aws import SimulatedAws
from policies.adapters.instance_connect import AwsInstanceConnect
from policies.domain.errors import (
    CredentialsError,
    NotFoundError,
    NotPermittedError,
    RejectedError,
    ThrottledError,
)
from policies.ports import Credentials
from scripts_admin.hosts import keypairs
from scripts_admin.runners import ssh
from scripts_admin.runners.ssh import Address, Key, RefusedError, Why
from tests.contract.clouds import REGION
from tests.ground import sshd
from tests.ground.sshd import Sshd

SECONDS = 30.0
PUBLIC = str(keypairs.make().public)


@pytest.fixture
def instance(aws: SimulatedAws) -> str:
    return aws.add_instance(REGION).instance_id


@pytest.fixture
def connect(aws: SimulatedAws) -> AwsInstanceConnect:
    return AwsInstanceConnect(Credentials())


@pytest.fixture
def server(aws: SimulatedAws, instance: str, tmp_path: Path) -> Iterator[Sshd]:
    """The instance's own sshd, which asks for the keys that were handed over."""
    lines = aws.let_connect(instance, tmp_path)
    with sshd.running(tmp_path / "sshd", lines) as running:
        yield running


def log_in(server: Sshd, private: str) -> None:
    address = Address("127.0.0.1", server.port, server.user, (server.host_key,))
    ssh.open_session(address, Key((private,), is_connect=True), SECONDS).close()


@pytest.mark.real
def test_the_key_that_was_handed_over_opens_and_no_other_does(
    connect: AwsInstanceConnect, instance: str, server: Sshd
) -> None:
    pair, other = keypairs.make(), keypairs.make()
    connect.hand_over(REGION, instance, "somebody-else", str(other.public))
    connect.hand_over(REGION, instance, server.user, str(pair.public), f"{REGION}a")

    log_in(server, pair.private)
    with pytest.raises(RefusedError, match="ec2-instance-connect") as raised:
        log_in(server, other.private)

    assert raised.value.why == Why.KEY


@pytest.mark.real
def test_a_key_is_valid_for_its_time_only(
    aws: SimulatedAws, connect: AwsInstanceConnect, instance: str, server: Sshd
) -> None:
    late, good = keypairs.make(), keypairs.make()
    aws.configure(connect_key_seconds=0)
    connect.hand_over(REGION, instance, server.user, str(late.public))
    aws.configure(connect_key_seconds=60)
    connect.hand_over(REGION, instance, server.user, str(good.public))

    log_in(server, good.private)
    with pytest.raises(RefusedError):
        log_in(server, late.private)


@pytest.mark.parametrize(
    ("user", "key", "zone", "error"),
    [
        ("ec2-user", PUBLIC, f"{REGION}b", NotFoundError),  # AWS finds no instance in another zone
        ("-x", PUBLIC, "", RejectedError),
        ("ec2-user", "x" * 90, "", RejectedError),
        ("ec2-user", PUBLIC.replace("ssh-ed25519", "ecdsa-sha2-nistp256"), "", RejectedError),
        ("ec2-user", "short", "", RejectedError),
    ],
    ids=["another zone", "a user that is an option", "no key", "another kind of key", "too short"],
)
def test_what_aws_would_refuse_is_refused(
    connect: AwsInstanceConnect,
    instance: str,
    user: str,
    key: str,
    zone: str,
    error: type[Exception],
) -> None:
    with pytest.raises(error, match="SendSSHPublicKey"):
        connect.hand_over(REGION, instance, user, key, zone)


@pytest.mark.parametrize(
    ("state", "error", "words"),
    [("stopped", RejectedError, "wait until it is available"), ("", NotFoundError, "check the id")],
)
def test_an_instance_must_be_there_and_run(
    aws: SimulatedAws, connect: AwsInstanceConnect, state: str, error: type[Exception], words: str
) -> None:
    gone = "i-0123456789abcdef0"
    instance_id = aws.add_instance(REGION, state=state).instance_id if state else gone

    with pytest.raises(error, match=words):
        connect.hand_over(REGION, instance_id, "ec2-user", PUBLIC)


def test_a_missing_permission_is_named(aws: SimulatedAws, instance: str) -> None:
    aws.add_account("AKIALOOKER0000000001", "a-secret", "ec2:*")
    looker = AwsInstanceConnect(Credentials("AKIALOOKER0000000001", "a-secret"))

    with pytest.raises(NotPermittedError) as raised:
        looker.hand_over(REGION, instance, "ec2-user", PUBLIC)

    assert raised.value.permission == "ec2-instance-connect:SendSSHPublicKey"


def test_wrong_keys_and_throttling_have_their_errors(
    aws: SimulatedAws, connect: AwsInstanceConnect, instance: str
) -> None:
    aws.add_account("AKIAWRONG00000000001", "the-secret")
    with pytest.raises(CredentialsError):
        AwsInstanceConnect(Credentials("AKIAWRONG00000000001", "another")).hand_over(
            REGION, instance, "ec2-user", PUBLIC
        )
    aws.fault("SendSSHPublicKey", "throttle", times=None)
    with pytest.raises(ThrottledError):
        connect.hand_over(REGION, instance, "ec2-user", PUBLIC)
