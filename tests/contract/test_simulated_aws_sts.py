"""The simulated STS, and its errors in AWS's words."""

import time
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from n2wbackup.demo.aws import SimulatedAws
from tests.contract.aws_clients import config, ec2, refused

ROLE = "arn:aws:iam::210987654321:role/teams/backup"


def sts(aws: SimulatedAws, key: str = "", secret: str = "", token: str | None = None) -> Any:
    return boto3.Session().client(
        "sts",
        region_name="us-east-1",
        endpoint_url=aws.endpoint_url,
        aws_access_key_id=key or aws.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=secret or aws.environment["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=token,
        config=config(),
    )


def assume(aws: SimulatedAws, external_id: str = "theirs", arn: str = ROLE) -> dict[str, str]:
    given: dict[str, str] = sts(aws).assume_role(
        RoleArn=arn, RoleSessionName="me", ExternalId=external_id
    )["Credentials"]
    return given


def test_a_role_is_whoever_assumed_it(simulated_aws: SimulatedAws) -> None:
    simulated_aws.add_role(ROLE, "theirs")
    keys = assume(simulated_aws)

    seen = sts(
        simulated_aws, keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]
    ).get_caller_identity()

    assert seen["Arn"] == "arn:aws:sts::210987654321:assumed-role/backup/me"
    assert seen["Account"] == "210987654321"


@pytest.mark.parametrize(
    ("external_id", "arn"), [("another", ROLE), ("theirs", f"{ROLE}-of-nobody")]
)
def test_a_role_lets_nobody_in_without_its_external_id_and_does_not_say_why(
    simulated_aws: SimulatedAws, external_id: str, arn: str
) -> None:
    simulated_aws.add_role(ROLE, "theirs")

    with pytest.raises(ClientError, match=f"sts:AssumeRole on resource: {arn}") as raised:
        assume(simulated_aws, external_id, arn)

    assert refused(raised) == ("AccessDenied", 403)


def test_a_roles_keys_may_what_the_role_may(simulated_aws: SimulatedAws) -> None:
    simulated_aws.add_role(ROLE, "theirs", ["ec2:DescribeVolumes"])
    keys = assume(simulated_aws)
    client = boto3.Session().client(
        "ec2",
        region_name="us-east-1",
        endpoint_url=simulated_aws.endpoint_url,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
        config=config(),
    )

    assert client.describe_volumes()["Volumes"] == []
    with pytest.raises(ClientError, match="assumed-role/backup/me is not auth") as raised:
        client.describe_instances()
    assert refused(raised) == ("UnauthorizedOperation", 403)


def test_a_roles_keys_are_worth_nothing_without_their_token_and_after_their_end(
    simulated_aws: SimulatedAws,
) -> None:
    simulated_aws.add_role(ROLE, "theirs")
    simulated_aws.configure(role_seconds=0.5)
    keys = assume(simulated_aws)
    given = (keys["AccessKeyId"], keys["SecretAccessKey"])

    with pytest.raises(ClientError) as raised:
        ec2(simulated_aws, key=given[0], secret=given[1]).describe_volumes()
    assert refused(raised) == ("AuthFailure", 401)
    time.sleep(0.6)
    with pytest.raises(ClientError) as raised:
        sts(simulated_aws, *given, keys["SessionToken"]).get_caller_identity()
    assert refused(raised) == ("ExpiredToken", 403)


@pytest.mark.parametrize("resource", ["there", "absent"])
def test_a_dry_run_asks_for_the_permission_first_then_for_the_resource(
    simulated_aws: SimulatedAws, resource: str
) -> None:
    simulated_aws.add_account("AKIALIMITEDLIMITED00", "a-secret", ["ec2:Describe*"])
    volume = simulated_aws.add_volume() if resource == "there" else "vol-00000000000000000"
    limited = ec2(simulated_aws, key="AKIALIMITEDLIMITED00", secret="a-secret")

    with pytest.raises(ClientError) as raised:
        limited.create_snapshot(VolumeId=volume, DryRun=True)
    assert refused(raised) == ("UnauthorizedOperation", 403)
    with pytest.raises(ClientError) as raised:
        ec2(simulated_aws).create_snapshot(VolumeId=volume, DryRun=True)
    expected = ("DryRunOperation", 412) if resource == "there" else ("InvalidVolume.NotFound", 400)
    assert refused(raised) == expected


@pytest.mark.parametrize("what", ["instances", "volumes", "snapshots"])
def test_a_dry_run_of_a_description_is_permitted_or_not(
    simulated_aws: SimulatedAws, what: str
) -> None:
    simulated_aws.add_account("AKIALIMITEDLIMITED00", "a-secret", ["ec2:Create*"])
    limited = ec2(simulated_aws, key="AKIALIMITEDLIMITED00", secret="a-secret")

    with pytest.raises(ClientError) as raised:
        getattr(limited, f"describe_{what}")(DryRun=True)
    assert refused(raised) == ("UnauthorizedOperation", 403)
    with pytest.raises(ClientError) as raised:
        getattr(ec2(simulated_aws), f"describe_{what}")(DryRun=True)
    assert refused(raised) == ("DryRunOperation", 412)
