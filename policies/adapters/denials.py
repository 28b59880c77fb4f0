"""Which of AWS's policies refused a call, and who can change that one.

An account may be refused by policies that its own administrators cannot see: to "allow it in the IAM policy" would
lead them to the wrong place. AWS names the kind of policy in its message, if it says anything.
"""

import re
from typing import NamedTuple

_ENCODED = "encoded authorization failure message"


class _Kind(NamedTuple):
    """A kind of policy: AWS's words for it (one or several), ours, and what to do."""

    words: str
    name: str
    cure: str


_KINDS = (
    _Kind(
        r"service control polic(?:y|ies)",
        "a service control policy (SCP) of the AWS organization",
        "ask the administrators of the organization to change it, as no IAM policy of the account can",
    ),
    _Kind(
        r"resource control polic(?:y|ies)",
        "a resource control policy (RCP) of the AWS organization",
        "ask the administrators of the organization to change it, as no IAM policy of the account can",
    ),
    _Kind(
        r"permissions boundar(?:y|ies)",
        "the permissions boundary of the user or role",
        "change the boundary in IAM, not the policy beside it",
    ),
    _Kind(
        r"session polic(?:y|ies)",
        "the policy of the session",
        "change it where the session's credentials are made, as it narrows what the role allows",
    ),
    _Kind(
        r"vpc endpoint polic(?:y|ies)",
        "the policy of the VPC endpoint that this server calls AWS through",
        "change it in VPC, under Endpoints",
    ),
    _Kind(
        r"resource-based polic(?:y|ies)",
        "the policy of the resource itself (such as a KMS key)",
        "change it at the resource",
    ),
)
_BY_KIND = tuple((re.compile(kind.words, re.IGNORECASE), kind) for kind in _KINDS)


def other_policy(action: str, message: str) -> str:
    """Return the end of a sentence about a refusal that no IAM policy of the caller can mend; "" if one may."""
    kind = next((kind for words, kind in _BY_KIND if words.search(message)), None)
    if kind is None:
        return ""
    does = "denies" if "explicit deny" in message else "does not allow"
    return f"{kind.name} {does} {action}: {kind.cure}"


def explain(action: str, message: str) -> str:
    """Return the end of a sentence about the refusal of the action: who refused it, and what to do."""
    other = other_policy(action, message)
    if other:
        return other
    if "explicit deny" in message:
        return f"a policy of the AWS account denies {action}: remove that denial"
    if _ENCODED in message.lower() and "because no identity-based policy" not in message:
        return (
            f"AWS refused {action} and encoded its reason: allow {action} in the IAM policy of the account's "
            "credentials; if it is allowed there, CloudTrail's event or `aws sts decode-authorization-message` "
            "names the policy that denies it"
        )
    return f"the account's credentials lack the permission {action}: allow it in their IAM policy"
