"""Translates botocore's exceptions and AWS's error codes to our errors, with one sentence each.

The sentence says what failed, on what, and what to do next. It quotes AWS's own words if they help,
without anything that looks like a key, and never if they are about credentials.
"""

import re
import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus

from botocore import exceptions, parsers

from n2wbackup.lib import terminal
from policies.adapters import denials, loading
from policies.domain.errors import (
    AnswerLostError,
    AwsError,
    CredentialsError,
    InUseError,
    NotFoundError,
    NotPermittedError,
    RegionError,
    RejectedError,
    ThrottledError,
    UnreachableError,
)

# The known exceptions of a call to AWS; any other is a bug in this server.
RAISED = (
    exceptions.BotoCoreError,
    exceptions.ClientError,
    parsers.ResponseParserError,
    KeyError,  # an answer without a required field
    ValueError,  # an answer with an invalid time or number
)
_OTHER_PARTITIONS = ("cn-", "us-gov-", "us-iso", "eu-isoe-", "eusc-")
_KEY_LIKE = re.compile(r"\bA[A-Z]{3}[A-Z0-9]{12,}\b|[A-Za-z0-9/+]{40,}=*")
_SERVICES = {  # of the actions that are not EC2's
    "AssumeRole": "sts",
    "DescribeInstanceInformation": "ssm",
    "GetCommandInvocation": "ssm",
    "GetInstanceProfile": "iam",
    "GetSnapshotBlock": "ebs",
    "ListChangedBlocks": "ebs",
    "ListSnapshotBlocks": "ebs",
    "ListAttachedRolePolicies": "iam",
    "ListCommandInvocations": "ssm",
    "SendCommand": "ssm",
    "SendSSHPublicKey": "ec2-instance-connect",
}
_QUOTED_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Call:
    """A call to AWS: the API action, its subject (may be empty), and the region.

    `creates`: it creates something and must not be repeated, so after a lost answer it may have succeeded.
    """

    action: str
    subject: str
    region: str
    creates: bool = False

    def __str__(self) -> str:
        """Return the words that begin every sentence."""
        return " ".join(
            part
            for part in (
                self.action,
                self.subject and f"of {self.subject}",
                self.region and f"in {self.region}",
            )
            if part
        )


_Explain = Callable[[Call, str], str]


@dataclass(frozen=True, slots=True)
class _Meaning:
    """The error class for some of AWS's codes, and the explanation in its sentence."""

    error: type[AwsError]
    explain: _Explain


def _says(text: str) -> _Explain:
    return lambda _call, _message: text


def _quotes(advice: str) -> _Explain:
    return lambda _call, message: f"{_quoted(message)}; {advice}"


def _quoted(message: str) -> str:
    words = _harmless(message)
    return f'AWS says "{words}"' if words else "AWS gives no reason"


def _harmless(message: str) -> str:
    """Return the words on one line, cut, without anything that looks like a key."""
    words = terminal.line(_KEY_LIKE.sub("[hidden]", " ".join(message.split()))).rstrip(".")
    if len(words) > _QUOTED_CHARACTERS:
        words = words[: _QUOTED_CHARACTERS - 3] + "..."
    return words


def _not_accepted(call: Call, _message: str) -> str:
    keys = "AWS did not accept the access key: check the account's access key id and secret"
    if call.region in loading.ALWAYS_ON or call.region.startswith(_OTHER_PARTITIONS):
        return keys
    return f"{keys}, and that the region {call.region} is enabled for the AWS account"


def _not_signed(call: Call, message: str) -> str:
    if re.search(r"signature (expired|not yet current)", message, re.IGNORECASE):
        return _clock(call, message)
    return "the secret does not belong to the access key id: enter both of the account's keys again"


def _clock(_call: Call, _message: str) -> str:
    return (
        "AWS refused the request as too old or too new: correct this server's clock (NTP), and if the "
        "credentials are temporary, renew them"
    )


def _permission(call: Call, message: str) -> str:
    """Return the missing permission as AWS names it, or else the permission of the call itself."""
    named = re.search(r"not authorized to perform: ([\w-]+:\w+)", message)
    return named.group(1) if named else f"{_SERVICES.get(call.action, 'ec2')}:{call.action}"


def _not_permitted(call: Call, message: str) -> str:
    return denials.explain(_permission(call, message), message)


def _absent(_call: Call, message: str) -> str:
    return f"{_quoted(message)}; check the id, the region and the account"


_ACCESS_KEY = _Meaning(CredentialsError, _not_accepted)
_EXPIRED = _Meaning(
    CredentialsError, _says("the temporary credentials have expired: renew them at their source")
)
_CLOCK = _Meaning(CredentialsError, _clock)
_DENIED = _Meaning(NotPermittedError, _not_permitted)
_OFF = _Meaning(
    RegionError,
    _says(
        "EC2 is not enabled in this region for the AWS account: enable it there, "
        "or choose another region"
    ),
)
_RATE = _Meaning(
    ThrottledError,
    _says("AWS limits the rate of calls of this account in this region: try again later"),
)
_MALFORMED = _Meaning(NotFoundError, _quotes("correct the id"))
_USED_UP = _Meaning(
    RejectedError, _quotes("delete snapshots no longer needed, or ask AWS for a higher quota")
)
_QUOTA = _Meaning(
    RejectedError, _quotes("wait until less is in use, or ask AWS for more (Service Quotas)")
)
_TAGS = _Meaning(RejectedError, _quotes("remove tags that are no longer needed"))
# Whatever new quota AWS names.
_QUOTA_CODE = re.compile(
    r"\w*(?:Limit|Quota)s?(?:Exceeded|Reached)(?:Exception|Error)?|LimitExceededException"
)
_WRONG_STATE = _Meaning(RejectedError, _quotes("wait until it is available, or correct the target"))
_UNKNOWN = _Meaning(RejectedError, _quotes("correct what it names, then try again"))


def _by_code(*rows: tuple[str, _Meaning]) -> dict[str, _Meaning]:
    return {code: meaning for codes, meaning in rows for code in codes.split()}


_MEANINGS = _by_code(
    ("AuthFailure InvalidClientTokenId InvalidAccessKeyId MissingAuthenticationToken", _ACCESS_KEY),
    ("SignatureDoesNotMatch IncompleteSignature", _Meaning(CredentialsError, _not_signed)),
    ("InvalidSignatureException", _Meaning(CredentialsError, _not_signed)),
    ("ExpiredToken ExpiredTokenException TokenRefreshRequired", _EXPIRED),
    ("RequestExpired RequestTimeTooSkewed RequestInTheFuture", _CLOCK),
    ("UnauthorizedOperation UnauthorizedAccess AccessDenied AccessDeniedException", _DENIED),
    ("AuthException", _DENIED),  # EC2 Instance Connect's
    ("ResourceNotFoundException", _Meaning(NotFoundError, _absent)),
    ("EC2InstanceNotFoundException", _Meaning(NotFoundError, _absent)),
    ("EC2InstanceStateInvalidException EC2InstanceUnavailableException", _WRONG_STATE),
    ("OptInRequired SubscriptionRequiredException", _OFF),
    ("UnrecognizedClient UnrecognizedClientException", _OFF),
    ("RequestLimitExceeded Throttling ThrottlingException RequestThrottled", _RATE),
    ("RequestThrottledException ThrottledException TooManyRequestsException SlowDown", _RATE),
    (
        "SnapshotCreationPerVolumeRateExceeded",
        _Meaning(
            ThrottledError,
            _says("a volume already had a snapshot in the last 15 seconds: try again later"),
        ),
    ),
    (
        "ConcurrentSnapshotLimitExceeded",
        _Meaning(
            RejectedError,
            _says("too many snapshots of a volume are still pending: wait until some complete"),
        ),
    ),
    ("ResourceLimitExceeded SnapshotLimitExceeded", _USED_UP),
    ("TagLimitExceeded", _TAGS),
    ("InvalidSnapshot.InUse", _Meaning(InUseError, _quotes("deregister that image first"))),
    ("IncorrectState IncorrectInstanceState IncorrectVolumeState", _WRONG_STATE),
)


def _meaning(code: str, message: str) -> _Meaning:
    if code in _MEANINGS:
        return _MEANINGS[code]
    if code.endswith(".NotFound"):
        return _Meaning(NotFoundError, _absent)
    if _QUOTA_CODE.fullmatch(code):
        return _QUOTA
    if code.endswith(".Malformed") or (
        code == "InvalidParameterValue" and "Expected: '" in message
    ):
        return _MALFORMED
    return _UNKNOWN


def refusal(code: str, message: str, call: Call, status: int = HTTPStatus.BAD_REQUEST) -> AwsError:
    """Return our error for AWS's refusal of a call."""
    meaning = _meaning(code, message)
    if meaning is _UNKNOWN and status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _unanswered(call, f"AWS had an internal error ({code})", code)
    sentence = f"{call} failed ({code}): {meaning.explain(call, message)}."
    if meaning is _DENIED:
        return NotPermittedError(sentence, code, _permission(call, message))
    return meaning.error(sentence, code)


def failure(error: Exception, call: Call) -> AwsError:
    """Return our error for one of `RAISED`."""
    if isinstance(error, exceptions.ClientError):
        told = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return refusal(told.get("Code", "Unknown"), told.get("Message", ""), call, status)
    for kinds, build in _FAILURES:
        if isinstance(error, kinds):
            return build(call, error)
    return _unanswered(call, f'the AWS SDK says "{_harmless(str(error))}"')


def _unanswered(call: Call, what: str, code: str = "") -> AwsError:
    """Return the error for a request that was sent, but whose result is unknown."""
    if call.creates:
        return AnswerLostError(
            f"{call} was sent, but {what}: the snapshots may have been created, so look for their tags "
            "before you try again.",
            code,
        )
    return UnreachableError(f"{call} failed: {what}; try again later.", code)


def _no_credentials(call: Call, _error: Exception) -> AwsError:
    return CredentialsError(
        f"{call} failed: there are no usable AWS credentials; give the account an access key id "
        "and a secret, or this server an instance role or a valid AWS configuration."
    )


def _no_profile(call: Call, error: Exception) -> AwsError:
    name = _harmless(str(getattr(error, "kwargs", {}).get("profile", "")))
    return CredentialsError(
        f"{call} failed: AWS_PROFILE names the profile {name!r}, which this server's AWS configuration does not have; "
        "correct AWS_PROFILE, or unset it."
    )


def _no_connection(call: Call, error: Exception) -> AwsError:
    if isinstance(_cause(error), socket.gaierror):
        return _no_name(call)
    return UnreachableError(
        f"{call} failed: no connection to AWS's endpoint could be made; check this server's "
        "network, its firewall and AWS_ENDPOINT_URL if it is set, then try again."
    )


def _no_name(call: Call) -> AwsError:
    if call.region in loading.known_regions():
        return UnreachableError(
            f"{call} failed: the name of AWS's endpoint could not be resolved; check this "
            "server's DNS and network, then try again."
        )
    return _no_region(call)


def _no_region(call: Call, _error: Exception | None = None) -> AwsError:
    return RegionError(
        f"{call} failed: AWS has no known region {call.region!r}; correct the region."
    )


def _no_trust(call: Call, error: Exception) -> AwsError:
    if isinstance(_cause(error), ssl.SSLCertVerificationError):
        return UnreachableError(
            f"{call} failed: the certificate of AWS's endpoint is not trusted; check this "
            "server's clock, its CA certificates and any proxy."
        )
    return _unanswered(call, "the TLS connection broke")


def _not_sent(call: Call, error: Exception) -> AwsError:
    return RejectedError(
        f'{call} was not sent: the AWS SDK says "{_harmless(str(error))}"; correct that.'
    )


def no_url(call: Call) -> AwsError:
    """Return our error for an endpoint that is not a URL."""
    return UnreachableError(
        f"{call} failed: AWS_ENDPOINT_URL is not a URL; correct it, or unset it to reach AWS."
    )


def _cause(error: Exception) -> BaseException | None:
    """Return the exception of urllib3 or ssl inside botocore's error."""
    beneath = getattr(error, "kwargs", {}).get("error")
    if not isinstance(beneath, BaseException):
        return None
    inner = [*_exceptions(beneath.args), beneath.__cause__]
    return next((each for each in inner if isinstance(each, OSError)), beneath)


def _exceptions(values: Iterable[object]) -> list[BaseException]:
    return [value for value in values if isinstance(value, BaseException)]


_Build = Callable[[Call, Exception], AwsError]
# The order matters: an exception belongs to the first kind that matches.
_FAILURES: tuple[tuple[tuple[type[Exception], ...], _Build], ...] = (
    ((exceptions.ProfileNotFound,), _no_profile),
    (
        (
            exceptions.NoCredentialsError,
            exceptions.PartialCredentialsError,
            exceptions.CredentialRetrievalError,
            exceptions.MetadataRetrievalError,
            exceptions.NoAuthTokenError,
            exceptions.TokenRetrievalError,
            exceptions.ConfigParseError,
            exceptions.ConfigNotFound,
            exceptions.InvalidConfigError,
            exceptions.SSOError,
            exceptions.LoginError,
        ),
        _no_credentials,
    ),
    (
        (
            exceptions.NoRegionError,
            exceptions.InvalidRegionError,
            exceptions.UnknownRegionError,
            exceptions.UnknownEndpointError,
            exceptions.EndpointProviderError,
        ),
        _no_region,
    ),
    (
        (
            exceptions.EndpointConnectionError,
            exceptions.ConnectTimeoutError,
            exceptions.ProxyConnectionError,
        ),
        _no_connection,
    ),
    ((exceptions.SSLError,), _no_trust),
    ((exceptions.ParamValidationError, exceptions.ValidationError), _not_sent),
    (
        (exceptions.ReadTimeoutError,),
        lambda call, _error: _unanswered(call, "no answer came before the timeout"),
    ),
    (
        (exceptions.HTTPClientError,),
        lambda call, _error: _unanswered(call, "the connection was closed without an answer"),
    ),
    (
        (parsers.ResponseParserError, exceptions.IncompleteReadError, KeyError, ValueError),
        lambda call, _error: _unanswered(call, "its answer could not be read"),
    ),
)
