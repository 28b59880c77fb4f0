"""Callers and their permissions.

A key belongs to the AWS account that moto simulates, or to another one that has nothing but snapshots. To check a
signature, it is computed again from the
key's secret and compared. Which calls are refused, and in which words, differs between services.
"""

import fnmatch
import hmac
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as SigningKey

from n2wbackup.demo.aws.answers import INSTANCE_CONNECT, ApiError
from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.inventory import ACCOUNT_ID

_IN_JSON = {"ssm", "ebs", INSTANCE_CONNECT}
FREE_ACTIONS = frozenset({"sts:GetCallerIdentity"})  # AWS allows this call to everybody


@dataclass(frozen=True, slots=True)
class Account:
    """An access key and its permissions: IAM actions ("ec2:CreateTags"), with `*` as wildcard.

    The key of an assumed role has its session's ARN, a token, and an end (UNIX seconds).
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    allowed_actions: tuple[str, ...]
    session_arn: str = ""
    token: str = field(default="", repr=False)
    ends_at: float = 0.0
    number: str = ACCOUNT_ID  # of the AWS account that a user's key belongs to

    @property
    def arn(self) -> str:
        """The caller's ARN."""
        return self.session_arn or f"arn:aws:iam::{self.number}:user/{self.access_key_id}"

    @property
    def aws_account_id(self) -> str:
        """The number of the AWS account in which the caller acts."""
        return self.arn.split(":")[4]

    def may(self, permission: str) -> bool:
        """Tell whether the key has the permission; allowed actions may be given without their service."""
        if permission in FREE_ACTIONS:
            return True
        names = (permission.lower(), permission.rpartition(":")[2].lower())
        return any(
            fnmatch.fnmatchcase(name, allowed.lower())
            for allowed in self.allowed_actions
            for name in names
        )


@dataclass(frozen=True, slots=True)
class Role:
    """A role that every key of the account may assume; with its external id, if it has one."""

    arn: str
    external_id: str
    allowed_actions: tuple[str, ...]


class Credentials:
    """All keys and roles."""

    def __init__(self) -> None:
        """Start without any key: every caller is refused."""
        self._lock = threading.Lock()
        self._accounts: dict[str, Account] = {}
        self._roles: dict[str, Role] = {}

    def add_role(self, role: Role) -> None:
        """Add or change a role; its existing sessions stay as they are."""
        with self._lock:
            self._roles[role.arn] = role

    def role(self, arn: str) -> Role | None:
        """Return the role with this ARN."""
        return self._roles.get(arn)

    def add(self, account: Account) -> None:
        """Add or change a key."""
        with self._lock:
            self._accounts[account.access_key_id] = account

    def clear(self, keep: Sequence[str]) -> None:
        """Forget all roles, and all keys except those in `keep`."""
        with self._lock:
            self._roles.clear()
            self._accounts = {
                key: account for key, account in self._accounts.items() if key in keep
            }

    def verify(self, call: ApiCall) -> Account:
        """Return the account that signed the call; AWS's error if the key is unknown or the signature is wrong."""
        if not call.access_key_id:
            message = (
                "The request must contain either a valid (registered) AWS access key ID "
                "or X.509 certificate."
            )
            raise ApiError("MissingAuthenticationToken", message, HTTPStatus.FORBIDDEN)
        account = self._accounts.get(call.access_key_id)
        if account is None:
            raise unknown_key(call)
        if not hmac.compare_digest(_signature(call, account), _given_signature(call)):
            raise _wrong_signature(call)
        if not hmac.compare_digest(
            call.http.headers.get("x-amz-security-token", ""), account.token
        ):
            raise unknown_key(call)
        if account.ends_at and account.ends_at <= time.time():
            raise _expired(call)
        return account

    def authorize(self, account: Account, call: ApiCall) -> None:
        """Refuse a call if the key lacks a permission for it.

        Like AWS, this happens before the parameters are checked, for dry runs too.
        """
        for permission in call.permissions():
            if not account.may(permission):
                raise denied(call, permission, account.arn)


def _field(call: ApiCall, name: str) -> str:
    _, _, rest = call.http.headers.get("authorization", "").partition(f"{name}=")
    return rest.partition(",")[0].strip()


def _given_signature(call: ApiCall) -> str:
    return _field(call, "Signature")


def _signature(call: ApiCall, account: Account) -> str:
    """Return the signature that the key's owner would create for this request."""
    headers = call.http.headers
    signed = {name: headers.get(name, "") for name in _field(call, "SignedHeaders").split(";")}
    url = f"http://{headers.get('host', '')}{call.http.path}"
    if call.http.query:
        url = f"{url}?{call.http.query}"
    request = AWSRequest(method=call.http.method, url=url, data=call.http.body, headers=signed)
    request.context["timestamp"] = headers.get("x-amz-date", "")
    _, region, service = call.scope
    key = SigningKey(account.access_key_id, account.secret_access_key)
    signer = SigV4Auth(key, service, region)
    return signer.signature(
        signer.string_to_sign(request, signer.canonical_request(request)), request
    )


def unknown_key(call: ApiCall) -> ApiError:
    """Return a service's error for an unknown key."""
    if call.service == "ec2":
        message = "AWS was not able to validate the provided access credentials"
        return ApiError("AuthFailure", message, HTTPStatus.UNAUTHORIZED)
    message = "The security token included in the request is invalid."
    if call.service in _IN_JSON:
        return ApiError("UnrecognizedClientException", message)
    return ApiError("InvalidClientTokenId", message, HTTPStatus.FORBIDDEN)


def _wrong_signature(call: ApiCall) -> ApiError:
    if call.service == "ec2":
        return unknown_key(call)
    message = (
        "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method. "
        "Consult the service documentation for details."
    )
    if call.service in _IN_JSON:
        return ApiError("InvalidSignatureException", message)
    return ApiError("SignatureDoesNotMatch", message, HTTPStatus.FORBIDDEN)


def region_off(call: ApiCall, code: str) -> ApiError:
    """Return a service's error in a region that is not enabled for the account."""
    if code == "OptInRequired":
        message = (
            "You are not subscribed to this service. "
            "Please go to http://aws.amazon.com to subscribe."
        )
        return ApiError(code, message, HTTPStatus.UNAUTHORIZED)
    return unknown_key(call)


def _expired(call: ApiCall) -> ApiError:
    if call.service == "ec2":
        return ApiError("RequestExpired", "Request has expired.")
    message = "The security token included in the request is expired"
    code = "ExpiredTokenException" if call.service in _IN_JSON else "ExpiredToken"
    return ApiError(code, message, HTTPStatus.FORBIDDEN)


def denied(call: ApiCall, permission: str, caller: str = "") -> ApiError:
    """Return the error for a call without the permission."""
    caller = caller or f"arn:aws:iam::{ACCOUNT_ID}:user/{call.access_key_id}"
    who = f"User: {caller} is not authorized to perform"
    why = f"because no identity-based policy allows the {permission} action"
    where = f"arn:aws:{call.service}:{call.region}:{ACCOUNT_ID}:*"
    sentence = f"{who}: {permission} on resource: {where} {why}"
    if call.service == "ec2":
        message = f"You are not authorized to perform this operation. {sentence}."
        return ApiError("UnauthorizedOperation", message, HTTPStatus.FORBIDDEN)
    if call.service in _IN_JSON:
        return ApiError("AccessDeniedException", sentence)
    return ApiError("AccessDenied", sentence, HTTPStatus.FORBIDDEN)
