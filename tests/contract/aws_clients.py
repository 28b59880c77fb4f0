"""Plain boto3 clients of a simulated AWS."""

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from n2wbackup.demo.aws import SimulatedAws

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ssm import SSMClient

_SESSION = boto3.Session()  # shared: it reads the services' models once


def config(read_timeout: float = 20) -> Config:
    """One attempt, so that a test sees the first answer."""
    return Config(read_timeout=read_timeout, retries={"total_max_attempts": 1})


def ec2(
    aws: SimulatedAws,
    region: str = "us-east-1",
    key: str = "",
    secret: str = "",
    read_timeout: float = 20,
) -> "EC2Client":
    return _SESSION.client(
        "ec2",
        region_name=region,
        endpoint_url=aws.endpoint_url,
        aws_access_key_id=key or aws.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=secret or aws.environment["AWS_SECRET_ACCESS_KEY"],
        config=config(read_timeout),
    )


def ssm(
    aws: SimulatedAws, region: str = "us-east-1", key: str = "", secret: str = ""
) -> "SSMClient":
    return _SESSION.client(
        "ssm",
        region_name=region,
        endpoint_url=aws.endpoint_url,
        aws_access_key_id=key or aws.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=secret or aws.environment["AWS_SECRET_ACCESS_KEY"],
        config=config(),
    )


def client_of(aws: SimulatedAws, service: str) -> Any:
    make: Any = _SESSION.client  # its stubs know each service by a literal
    return make(
        service,
        region_name="us-east-1",
        endpoint_url=aws.endpoint_url,
        aws_access_key_id=aws.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws.environment["AWS_SECRET_ACCESS_KEY"],
        config=config(),
    )


def refused(raised: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    """Return the error code and the HTTP status of a refusal."""
    response = raised.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]
