"""Roles that the server assumes for an account, and sentences on what to do if AWS refuses.

botocore keeps the credentials and renews them, with the functions of this module.
"""

import re
import uuid
from typing import Any

import botocore.session
from botocore import exceptions
from botocore.client import BaseClient
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, RefreshableCredentials

from n2wbackup.lib import home
from policies.adapters import denials, loading, translate
from policies.adapters.translate import Call
from policies.domain import identifiers
from policies.domain.errors import AwsError, CredentialsError, RegionError
from policies.ports import Credentials

DURATION_SECONDS = 3600  # every role allows it, also if the caller is a role itself
LONGEST_WINDOW_SECONDS = 600
# With less than the first left, botocore renews; with less than the second left, it fails if it cannot
# renew. A window that begins with more than the second left does not outlive its credentials.
RENEW_SECONDS = LONGEST_WINDOW_SECONDS + 15 * 60 + 300
INSIST_SECONDS = LONGEST_WINDOW_SECONDS + 300
_STS = Config(
    retries={"total_max_attempts": 3, "mode": "standard"},
    connect_timeout=5,
    read_timeout=15,
    user_agent_extra=loading.USER_AGENT,
)


def assume(given: Credentials) -> RefreshableCredentials:
    """Return the credentials of the account's role, which renew themselves; calls STS.

    CredentialsError says what to put into the trust policy. A role that does not require the account's
    external id is refused: any tenant could name it and use it.
    """
    role = _Role(given)
    role.refuse_open_door()
    made: RefreshableCredentials = RefreshableCredentials.create_from_metadata(
        role.fetch(),
        refresh_using=role.fetch,
        method="assume-role",
        advisory_timeout=RENEW_SECONDS,
        mandatory_timeout=INSIST_SECONDS,
    )
    return made


class _Role:
    """A role that the server's own identity assumes for one account."""

    def __init__(self, given: Credentials) -> None:
        self._given = given
        self._own = loading.session()
        self._region = _region(given.role_arn, self._own)
        self._fetcher: AssumeRoleCredentialFetcher | None = None

    def fetch(self) -> dict[str, str]:
        """Return credentials in botocore's form; an error has a sentence that says what to do."""
        try:
            if self._fetcher is None:
                self._fetcher = self._fetcher_with(self._given.external_id)
            found: dict[str, str] = self._fetcher.fetch_credentials()
        except translate.RAISED as error:
            raise self._failure(error) from error
        return found

    def refuse_open_door(self) -> None:
        """Try another external id: AWS has to refuse it."""
        try:
            self._fetcher_with(str(uuid.uuid4())).fetch_credentials()
        except exceptions.ClientError as error:
            if _code(error) == "AccessDenied":
                return
            raise self._failure(error) from error
        except translate.RAISED as error:
            raise self._failure(error) from error
        raise CredentialsError(
            f"The role {self._given.role_arn} lets this server in without the account's external id, so "
            "other users of this server could use it, too, and it is refused: add to its trust policy the condition "
            f"{_condition(self._given)}."
        )

    def _fetcher_with(self, external_id: str) -> AssumeRoleCredentialFetcher:
        own = self._own.get_credentials()
        if own is None:
            raise exceptions.NoCredentialsError
        return AssumeRoleCredentialFetcher(
            client_creator=self._client,
            source_credentials=own,
            role_arn=self._given.role_arn,
            extra_args={
                "ExternalId": external_id,
                "RoleSessionName": f"n2wbackup-{home.server_id()[:8]}",
                "DurationSeconds": DURATION_SECONDS,
            },
            expiry_window_seconds=RENEW_SECONDS,
        )

    def _client(self, service: str, **keys: Any) -> BaseClient:  # noqa: ANN401 - as botocore calls it
        with loading.MAKING:
            return self._own.create_client(service, region_name=self._region, config=_STS, **keys)

    def _failure(self, error: Exception) -> AwsError:
        call = Call("AssumeRole", self._given.role_arn, self._region)
        if isinstance(error, exceptions.ClientError):
            code, message = _code(error), error.response["Error"].get("Message", "")
            if code == "AccessDenied":
                return CredentialsError(_denied(self._given, call, message), code)
            if code == "RegionDisabledException":
                return RegionError(
                    f"{call} failed ({code}): STS is disabled there; enable it in the server's AWS account, or "
                    "set AWS_REGION to another region.",
                    code,
                )
        failure = translate.failure(error, call)
        if isinstance(failure, CredentialsError):
            said = f" ({failure.code})" if failure.code else ""
            return CredentialsError(
                f"{call} failed{said}: to assume a role, this server needs a valid AWS identity of its own, and "
                "has none; give it an instance role or correct its AWS configuration.",
                failure.code,
            )
        return failure


def _region(role_arn: str, own: botocore.session.Session) -> str:
    """Return the region of STS to call: the server's own, or one that no account can disable."""
    configured = own.get_config_variable("region")
    partition = identifiers.partition_of_role(role_arn)
    if configured and own.get_partition_for_region(configured) == partition:
        return str(configured)
    return identifiers.PARTITIONS[partition]


def _code(error: exceptions.ClientError) -> str:
    return str(error.response["Error"].get("Code", ""))


def _condition(given: Credentials) -> str:
    return f'"StringEquals": {{"sts:ExternalId": "{given.external_id}"}}'


def _denied(given: Credentials, call: Call, message: str) -> str:
    """Return the sentence for AccessDenied; AWS often does not say which of the two policies lacks it."""
    other = denials.other_policy("sts:AssumeRole", message)
    if other:
        return f"{call} failed (AccessDenied): {other}."
    if "explicit deny" in message:
        return f"{call} failed (AccessDenied): a policy denies it explicitly; remove that denial."
    if "no identity-based policy allows" in message:
        return (
            f"{call} failed (AccessDenied): this server's own identity lacks the permission "
            f"sts:AssumeRole on {given.role_arn}; allow it in its IAM policy."
        )
    return (
        f'{call} failed (AccessDenied): let the role\'s trust policy allow "sts:AssumeRole" to the '
        f'principal {{"AWS": "{_caller(message)}"}} under the condition {_condition(given)}, and let this '
        "server's IAM policy allow sts:AssumeRole on the role."
    )


def _caller(message: str) -> str:
    """Return the principal that AWS named as the caller; for a session, its role."""
    named = re.search(r"User: (arn:[^\s]+) is not authorized", message)
    if named is None:
        return "(the ARN of this server's own identity)"
    session = re.fullmatch(r"arn:([^:]+):sts::(\d+):assumed-role/([^/]+)/.*", named[1])
    return f"arn:{session[1]}:iam::{session[2]}:role/{session[3]}" if session else named[1]
