"""Who calls, and what they may do.

Every key lives in the one AWS account that moto plays. A signature is made anew from the secret
that belongs to the key and compared; what is refused, and in which words, differs by service.
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

from n2wbackup.demo.aws.answers import ApiError
from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.inventory import ACCOUNT_ID

FREE_ACTIONS = frozenset({"sts:GetCallerIdentity"})  # AWS lets everybody ask who they are


@dataclass(frozen=True, slots=True)
class Account:
    """An access key and what it may do: IAM actions ("ec2:CreateTags"), `*` a wildcard in them.

    Those of an assumed role have its session's ARN, a token, and an end (UNIX seconds).
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    allowed_actions: tuple[str, ...]
    session_arn: str = ""
    token: str = field(default="", repr=False)
    ends_at: float = 0.0

    @property
    def arn(self) -> str:
        """Who this is."""
        return self.session_arn or f"arn:aws:iam::{ACCOUNT_ID}:user/{self.access_key_id}"

    def may(self, permission: str) -> bool:
        """Tell whether the key may do this; actions may be named without their service."""
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
    """A role that every key of the account may assume, with the external id if it asks for one."""

    arn: str
    external_id: str
    allowed_actions: tuple[str, ...]


class Credentials:
    """The keys and roles that exist."""

    def __init__(self) -> None:
        """Start without any: nobody is let in."""
        self._lock = threading.Lock()
        self._accounts: dict[str, Account] = {}
        self._roles: dict[str, Role] = {}

    def add_role(self, role: Role) -> None:
        """Let a role be, or change it; sessions that it gave stay as they are."""
        with self._lock:
            self._roles[role.arn] = role

    def role(self, arn: str) -> Role | None:
        """Return the role of this ARN."""
        return self._roles.get(arn)

    def add(self, account: Account) -> None:
        """Let a key in, or change it."""
        with self._lock:
            self._accounts[account.access_key_id] = account

    def clear(self, keep: Sequence[str]) -> None:
        """Forget every key but those, and all roles."""
        with self._lock:
            self._roles.clear()
            self._accounts = {
                key: account for key, account in self._accounts.items() if key in keep
            }

    def verify(self, call: ApiCall) -> Account:
        """Return who signed the call; AWS's error when nobody known did."""
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
        """Refuse a call that needs a permission which the key does not have.

        As AWS does, before the parameters are looked at, DryRun or not.
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
    """Return the signature that the key's holder would have made of this request."""
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
    """Return what a service says to a key that it does not know."""
    if call.service == "ec2":
        message = "AWS was not able to validate the provided access credentials"
        return ApiError("AuthFailure", message, HTTPStatus.UNAUTHORIZED)
    message = "The security token included in the request is invalid."
    if call.service == "ssm":
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
    if call.service == "ssm":
        return ApiError("InvalidSignatureException", message)
    return ApiError("SignatureDoesNotMatch", message, HTTPStatus.FORBIDDEN)


def region_off(call: ApiCall, code: str) -> ApiError:
    """Return what a service answers in a region that is not switched on for the account."""
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
    code = "ExpiredTokenException" if call.service == "ssm" else "ExpiredToken"
    return ApiError(code, message, HTTPStatus.FORBIDDEN)


def denied(call: ApiCall, permission: str, caller: str = "") -> ApiError:
    """Return the refusal of a call for want of a permission."""
    caller = caller or f"arn:aws:iam::{ACCOUNT_ID}:user/{call.access_key_id}"
    who = f"User: {caller} is not authorized to perform"
    why = f"because no identity-based policy allows the {permission} action"
    where = f"arn:aws:{call.service}:{call.region}:{ACCOUNT_ID}:*"
    sentence = f"{who}: {permission} on resource: {where} {why}"
    if call.service == "ec2":
        message = f"You are not authorized to perform this operation. {sentence}."
        return ApiError("UnauthorizedOperation", message, HTTPStatus.FORBIDDEN)
    if call.service == "ssm":
        return ApiError("AccessDeniedException", sentence)
    return ApiError("AccessDenied", sentence, HTTPStatus.FORBIDDEN)
