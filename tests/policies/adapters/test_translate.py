"""Errors of AWS and its SDK as ours: the right kind, one sentence, and no key in it."""

import socket
import ssl

import pytest
from botocore import exceptions, parsers
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NameResolutionError, NewConnectionError
from urllib3.exceptions import SSLError as UrllibSSLError

from policies.adapters import translate
from policies.adapters.translate import Call
from policies.domain.errors import (
    AnswerLostError,
    AwsError,
    CredentialsError,
    NotFoundError,
    NotPermittedError,
    RegionError,
    RejectedError,
    ThrottledError,
    UnreachableError,
)

FIRE = Call("CreateSnapshots", "i-0123456789abcdef0", "eu-central-1", creates=True)
READ = Call("DescribeVolumes", "vol-0123456789abcdef0", "eu-central-1")
KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
URL = "https://ec2.eu-central-1.amazonaws.com/"


def answered(code: str, message: str = "Said AWS.", status: int = 400) -> exceptions.ClientError:
    return exceptions.ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {
                "HTTPStatusCode": status,
                "RequestId": "",
                "HostId": "",
                "HTTPHeaders": {},
                "RetryAttempts": 0,
            },
        },
        "CreateSnapshots",
    )


@pytest.mark.parametrize(
    ("code", "kind", "advice"),
    [
        ("AuthFailure", CredentialsError, "check the account's access key id and secret"),
        ("InvalidClientTokenId", CredentialsError, "check the account's access key id and secret"),
        ("SignatureDoesNotMatch", CredentialsError, "enter both of the account's keys again"),
        ("ExpiredToken", CredentialsError, "renew them"),
        ("RequestExpired", CredentialsError, "correct this server's clock"),
        ("UnauthorizedOperation", NotPermittedError, "permission ec2:CreateSnapshots: allow it"),
        ("AccessDenied", NotPermittedError, "permission ec2:CreateSnapshots: allow it"),
        ("OptInRequired", RegionError, "enable it"),
        ("UnrecognizedClientException", RegionError, "enable it"),
        ("InvalidInstanceID.NotFound", NotFoundError, "check the id, the region and the account"),
        ("InvalidVolume.NotFound", NotFoundError, "check the id, the region and the account"),
        ("InvalidInstanceID.Malformed", NotFoundError, "correct the id"),
        ("RequestLimitExceeded", ThrottledError, "try again later"),
        ("Throttling", ThrottledError, "try again later"),
        ("SnapshotCreationPerVolumeRateExceeded", ThrottledError, "try again later"),
        ("ConcurrentSnapshotLimitExceeded", RejectedError, "wait until some complete"),
        ("ResourceLimitExceeded", RejectedError, "ask AWS for a higher quota"),
        ("SnapshotLimitExceeded", RejectedError, "ask AWS for a higher quota"),
        ("PendingSnapshotLimitExceeded", RejectedError, "wait until less is in use, or ask AWS"),
        ("VolumeLimitExceeded", RejectedError, "wait until less is in use, or ask AWS"),
        ("ServiceQuotaExceededException", RejectedError, "ask AWS for more (Service Quotas)"),
        ("TagLimitExceeded", RejectedError, "remove tags that are no longer needed"),
        ("IncorrectState", RejectedError, "wait until it is available"),
        ("SomethingNew", RejectedError, 'AWS says "Said AWS"'),
    ],
)
def test_each_refusal_is_of_its_kind_and_says_what_to_do(
    code: str, kind: type[AwsError], advice: str
) -> None:
    error = translate.failure(answered(code), FIRE)

    assert type(error) is kind
    assert error.code == code
    told = str(error)
    assert told.startswith(
        f"CreateSnapshots of i-0123456789abcdef0 in eu-central-1 failed ({code}): "
    )
    assert advice in told
    assert told.endswith(".")
    assert "\n" not in told


def test_a_malformed_volume_id_is_not_found_too() -> None:
    message = "Value (vol-x) for parameter volumeId is invalid. Expected: 'vol-...'."

    error = translate.failure(answered("InvalidParameterValue", message), READ)

    assert type(error) is NotFoundError
    assert "vol-x" in str(error)


def test_the_permission_that_aws_names_is_the_one_told() -> None:
    message = (
        "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/b "
        "is not authorized to perform: ec2:CreateTags on resource: arn:aws:ec2:eu-central-1::"
        "snapshot/* because no identity-based policy allows the ec2:CreateTags action. Encoded "
        f"authorization failure message: {'Zm9v' * 80}"
    )

    told = str(translate.failure(answered("UnauthorizedOperation", message, 403), FIRE))

    assert "the permission ec2:CreateTags" in told
    assert "Zm9v" not in told
    assert len(told) < 200


@pytest.mark.parametrize(
    ("action", "permission"),
    [
        ("CreateSnapshots", "ec2:CreateSnapshots"),
        ("SendSSHPublicKey", "ec2-instance-connect:SendSSHPublicKey"),
        ("SendCommand", "ssm:SendCommand"),
        ("ListCommandInvocations", "ssm:ListCommandInvocations"),
        ("GetCommandInvocation", "ssm:GetCommandInvocation"),
        ("DescribeInstanceInformation", "ssm:DescribeInstanceInformation"),
        ("GetInstanceProfile", "iam:GetInstanceProfile"),
        ("ListAttachedRolePolicies", "iam:ListAttachedRolePolicies"),
        ("AssumeRole", "sts:AssumeRole"),
    ],
)
def test_where_aws_names_no_permission_it_is_that_of_the_service_that_was_called(
    action: str, permission: str
) -> None:
    error = translate.failure(
        answered("AccessDeniedException", "", 403), Call(action, "", "us-east-1")
    )
    assert isinstance(error, NotPermittedError)
    assert error.permission == permission
    assert permission in str(error)


def test_an_explicit_denial_is_not_cured_by_allowing() -> None:
    message = (
        "X is not authorized to perform: ec2:CreateSnapshots with an explicit deny in a policy"
    )

    told = str(translate.failure(answered("UnauthorizedOperation", message, 403), FIRE))

    assert "denies ec2:CreateSnapshots: remove that denial" in told


@pytest.mark.parametrize(
    ("region", "may_be_off"),
    [("us-east-1", False), ("cn-north-1", False), ("us-gov-west-1", False), ("eu-south-2", True)],
)
def test_where_the_region_may_be_off_a_refused_key_says_that_too(
    region: str, *, may_be_off: bool
) -> None:
    told = str(translate.failure(answered("AuthFailure"), Call("DescribeVolumes", "v", region)))

    assert (f"the region {region} is enabled" in told) is may_be_off


def test_a_signature_of_another_time_is_the_clock() -> None:
    message = "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z"

    error = translate.failure(answered("SignatureDoesNotMatch", message, 403), READ)

    assert "correct this server's clock" in str(error)


@pytest.mark.parametrize(
    "code",
    [
        "AuthFailure",
        "SignatureDoesNotMatch",
        "InvalidClientTokenId",
        "SomethingNew",
        "Odd.NotFound",
    ],
)
def test_no_key_is_repeated(code: str) -> None:
    message = f"The key {KEY_ID} with {SECRET} and ASIAIOSFODNN7EXAMPLE2\nis wrong"

    told = str(translate.failure(answered(code, message), READ))

    assert KEY_ID not in told
    assert "ASIA" not in told
    assert SECRET not in told
    assert "\n" not in told


def test_long_words_of_aws_are_cut() -> None:
    told = str(translate.failure(answered("SomethingNew", "very long " * 200), READ))

    assert len(told) < 500
    assert '..."' in told


@pytest.mark.parametrize(
    "error",
    [
        answered("InternalError", status=500),
        answered("Unavailable", status=503),
        answered("502", "Bad Gateway", status=502),
        exceptions.ReadTimeoutError(endpoint_url=URL),
        exceptions.ConnectionClosedError(endpoint_url=URL),
        exceptions.HTTPClientError(error=OSError("reset")),
        exceptions.SSLError(endpoint_url=URL, error=UrllibSSLError("eof in the middle")),
        parsers.ResponseParserError("not XML"),
        exceptions.BotoCoreError(),
        KeyError("SnapshotId"),
        ValueError("not a time"),
    ],
    ids=repr,
)
def test_what_may_have_been_done_is_told_so_and_only_where_something_is_made(
    error: Exception,
) -> None:
    fired = translate.failure(error, FIRE)
    read = translate.failure(error, READ)

    assert type(fired) is AnswerLostError
    assert "may have been created" in str(fired)
    assert type(read) is UnreachableError
    assert "try again later" in str(read)


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ConnectTimeoutError(endpoint_url=URL),
        exceptions.EndpointConnectionError(
            endpoint_url=URL, error=NewConnectionError(HTTPConnection("localhost"), "refused")
        ),
        exceptions.ProxyConnectionError(proxy_url="http://proxy"),
        exceptions.SSLError(
            endpoint_url=URL, error=UrllibSSLError(ssl.SSLCertVerificationError("self-signed"))
        ),
    ],
    ids=repr,
)
def test_without_a_connection_nothing_was_done(error: Exception) -> None:
    fired = translate.failure(error, FIRE)

    assert type(fired) is UnreachableError
    assert "CreateSnapshots of i-0123456789abcdef0 in eu-central-1 failed" in str(fired)
    assert URL not in str(fired)


@pytest.mark.parametrize(
    ("region", "kind"), [("eu-central-1", UnreachableError), ("mars-north-1", RegionError)]
)
def test_a_name_that_is_not_found_is_of_a_region_unknown_or_a_broken_dns(
    region: str, kind: type[AwsError]
) -> None:
    lookup = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    beneath = NameResolutionError("host", HTTPConnection("localhost"), lookup)
    beneath.__cause__ = lookup
    error = exceptions.EndpointConnectionError(endpoint_url=URL, error=beneath)

    told = translate.failure(error, Call("CreateSnapshots", "i-1", region, creates=True))

    assert type(told) is kind
    assert region in str(told)


@pytest.mark.parametrize(
    "error",
    [
        exceptions.NoCredentialsError(),
        exceptions.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
        exceptions.CredentialRetrievalError(provider="iam-role", error_msg="no answer"),
    ],
    ids=repr,
)
def test_without_credentials_it_says_where_they_may_come_from(error: Exception) -> None:
    told = translate.failure(error, FIRE)

    assert type(told) is CredentialsError
    assert "instance role" in str(told)


@pytest.mark.parametrize(
    "error",
    [exceptions.NoRegionError(), exceptions.InvalidRegionError(region_name="us east")],
    ids=repr,
)
def test_what_cannot_be_a_region_is_told(error: Exception) -> None:
    assert type(translate.failure(error, READ)) is RegionError


def test_what_the_sdk_does_not_send_is_rejected_in_its_words() -> None:
    error = exceptions.ParamValidationError(report=f"Invalid type\nfor {KEY_ID}")

    told = translate.failure(error, FIRE)

    assert type(told) is RejectedError
    assert "was not sent" in str(told)
    assert KEY_ID not in str(told)
    assert "\n" not in str(told)


DENIED = "User: arn:aws:iam::123456789012:user/b is not authorized to perform: ec2:CreateSnapshots on resource: x "


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (
            "with an explicit deny in a service control policy",
            "(SCP) of the AWS organization denies",
        ),
        (
            "because no service control policy allows the action",
            "(SCP) of the AWS organization does not allow",
        ),
        (
            "with an explicit deny in a resource control policy",
            "(RCP) of the AWS organization denies",
        ),
        (
            "because no permissions boundary allows the action",
            "change the boundary in IAM, not the policy",
        ),
        (
            "with an explicit deny in a permissions boundary",
            "the permissions boundary of the user or role denies",
        ),
        (
            "because no session policy allows the action",
            "change it where the session's credentials are made",
        ),
        ("because no VPC endpoint policy allows the action", "change it in VPC, under Endpoints"),
        (
            "with an explicit deny in a VPC endpoint policy",
            "that this server calls AWS through denies",
        ),
        ("because no resource-based policy allows the action", "change it at the resource"),
        ("because no identity-based policy allows the action", "allow it in their IAM policy"),
        (
            "with an explicit deny in an identity-based policy",
            "denies ec2:CreateSnapshots: remove that denial",
        ),
    ],
)
def test_a_denial_names_the_policy_that_denies_and_who_can_change_it(
    words: str, advice: str
) -> None:
    error = translate.failure(answered("UnauthorizedOperation", DENIED + words, 403), FIRE)

    assert isinstance(error, NotPermittedError)
    assert error.permission == "ec2:CreateSnapshots"
    assert advice in str(error)


def test_an_encoded_reason_is_not_shown_but_says_where_to_read_it() -> None:
    message = (
        "You are not authorized to perform this operation. Encoded authorization failure message: "
        + "Zm9v" * 80
    )

    told = str(translate.failure(answered("UnauthorizedOperation", message, 403), FIRE))

    assert (
        "AWS refused ec2:CreateSnapshots and encoded its reason: allow ec2:CreateSnapshots" in told
    )
    assert "`aws sts decode-authorization-message` names the policy" in told
    assert "Zm9v" not in told


def test_a_profile_that_is_missing_is_named() -> None:
    told = translate.failure(exceptions.ProfileNotFound(profile="gone"), FIRE)

    assert isinstance(told, CredentialsError)
    assert "AWS_PROFILE names the profile 'gone', which this server's AWS configuration" in str(
        told
    )
