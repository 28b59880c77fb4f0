"""STS: the caller's identity, and roles to assume.

AWS's AssumeRole gives the same error if the role does not exist, does not trust the caller, or did not get
its external id.
"""

import secrets
import time
from datetime import UTC, datetime

from n2wbackup.demo.aws.answers import ApiError, time_text
from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.credentials import Account, denied
from n2wbackup.demo.aws.simulator import Simulator

SHORTEST_SECONDS, LONGEST_SECONDS = 900, 3600


def get_caller_identity(
    _simulator: Simulator, _call: ApiCall, account: Account
) -> dict[str, object]:
    """Return the identity that signed the call."""
    number = account.arn.split(":")[4]
    return {"Arn": account.arn, "UserId": account.access_key_id, "Account": number}


def assume_role(simulator: Simulator, call: ApiCall, account: Account) -> dict[str, object]:
    """Return temporary keys of a role, if it exists and the call has the external id that it requires."""
    arn, name = call.text("RoleArn"), call.text("RoleSessionName")
    seconds = int(call.text("DurationSeconds") or LONGEST_SECONDS)
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS or not name:
        message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        raise ApiError("ValidationError", message)
    role = simulator.credentials.role(arn)
    if role is None or (role.external_id and role.external_id != call.text("ExternalId")):
        raise denied_role(call, arn, account.arn)
    lifetime = simulator.options.role_seconds or seconds
    number, role_name = arn.split(":")[4], arn.rpartition("/")[2]
    given = Account(
        f"ASIA{secrets.token_hex(8).upper()}",
        secrets.token_urlsafe(30),
        role.allowed_actions,
        f"arn:aws:sts::{number}:assumed-role/{role_name}/{name}",
        secrets.token_urlsafe(60),
        time.time() + lifetime,
    )
    simulator.credentials.add(given)
    return {
        "AssumedRoleUser": {"AssumedRoleId": f"AROA:{name}", "Arn": given.arn},
        "Credentials": {
            "AccessKeyId": given.access_key_id,
            "SecretAccessKey": given.secret_access_key,
            "SessionToken": given.token,
            "Expiration": time_text(datetime.fromtimestamp(given.ends_at, tz=UTC)),
        },
    }


def denied_role(call: ApiCall, role_arn: str, caller: str) -> ApiError:
    """Return AWS's error for a caller who may not assume the role."""
    error = denied(call, "sts:AssumeRole", caller)
    sentence = (
        f"User: {caller} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
    )
    return ApiError(error.code, sentence, error.status)
