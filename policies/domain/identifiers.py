"""The formats of AWS's names. A correct format means that a name can exist, not that it does."""

import re
from collections.abc import Iterable

from n2wbackup.lib import terminal

_INSTANCE = re.compile(r"i-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_VOLUME = re.compile(r"vol-(?:[0-9a-f]{8}|[0-9a-f]{17})")
# Every partition of AWS, and a region of its own that no account can disable.
PARTITIONS = {
    "aws": "us-east-1",
    "aws-cn": "cn-north-1",
    "aws-us-gov": "us-gov-west-1",
    "aws-eusc": "eusc-de-east-1",
    "aws-iso": "us-iso-east-1",
    "aws-iso-b": "us-isob-east-1",
    "aws-iso-e": "eu-isoe-west-1",
    "aws-iso-f": "us-isof-south-1",
}
_ROLE = re.compile(
    rf"arn:({'|'.join(PARTITIONS)}):iam::[0-9]{{12}}:role/(?:[\x21-\x7e]{{1,510}}/)?[A-Za-z0-9+=,.@_-]{{1,64}}"
)
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-[1-9][0-9]?")
# What the first letters of AWS's ids say, with what an access key id is not.
_OTHER_IDS = {
    "ABIA": "a bearer token",
    "ACCA": "a context's key",
    "AGPA": "a group",
    "AIDA": "a user",
    "AIPA": "an instance profile",
    "ANPA": "a managed policy",
    "ANVA": "a version of a managed policy",
    "APKA": "a public key",
    "AROA": "a role",
    "ASCA": "a certificate",
}
_AWS_ID = re.compile(r"([A-Z]{4})[A-Z0-9]{12,124}")
_OTHER_ARN = re.compile(r"arn:[a-z-]+:(iam|sts)::[0-9]*:([a-z-]+)[/:]?.*", re.DOTALL)
_REGION_CHARACTERS = 32
LABEL_CHARACTERS = 64


def is_label(text: str) -> bool:
    """Tell whether the text is a valid name for people: visible, and fit for OWNER/NAME."""
    seen = text.isprintable() and text == terminal.line(text)  # some blanks count as letters
    visible = seen and text == text.strip() and "/" not in text
    return visible and 0 < len(text) <= LABEL_CHARACTERS


def is_one_of(name: str, others: Iterable[str]) -> bool:
    """Tell whether one of the others is the same name; upper and lower case are the same."""
    return name.lower() in {other.lower() for other in others}


def is_instance_id(text: str) -> bool:
    """Tell whether an EC2 instance can have this id."""
    return _INSTANCE.fullmatch(text) is not None


def is_volume_id(text: str) -> bool:
    """Tell whether an EBS volume can have this id."""
    return _VOLUME.fullmatch(text) is not None


def is_region(text: str) -> bool:
    """Tell whether an AWS region can have this name (`us-east-1`, `us-gov-west-1`)."""
    return len(text) <= _REGION_CHARACTERS and _REGION.fullmatch(text) is not None


def is_role_arn(text: str) -> bool:
    """Tell whether an IAM role can have this ARN (`arn:aws:iam::123456789012:role/path/name`)."""
    return _ROLE.fullmatch(text) is not None


def why_no_access_key_id(text: str) -> str:
    """Return why this cannot be the id of a long-term access key, as the end of a sentence; "" if it can.

    Other systems that speak EC2's language have ids of any form, so a form that AWS does not use is no mistake.
    """
    if not text.isascii() or "..." in text or "<" in text:
        return "is a placeholder: enter the access key id that AWS shows, such as one that begins with AKIA"
    found = _AWS_ID.fullmatch(text)
    if found and found[1] == "ASIA":
        return (
            "is the id of a temporary session's key, which expires within hours: enter a long-term access key "
            "(AKIA…), or let the server assume a role (auth: role)"
        )
    if found and found[1] in _OTHER_IDS:
        return f"is the id of {_OTHER_IDS[found[1]]}, not of an access key: enter the id that begins with AKIA"
    return ""


def why_no_secret(text: str) -> str:
    """Return why this cannot be a secret access key, as the end of a sentence without it; "" if it can."""
    if not text.isascii() or "..." in text or text.startswith("<") or text.split() != [text]:
        return "is a placeholder or has spaces: enter the secret that AWS showed with the access key id"
    if _AWS_ID.fullmatch(text) and text[:4] in {"AKIA", "ASIA", *_OTHER_IDS}:
        return "is an id, not the secret: enter the secret that AWS showed with the access key id"
    return ""


def why_no_role_arn(text: str) -> str:
    """Return what this ARN names in place of a role, as part of a sentence; "" if that is not known."""
    found = _OTHER_ARN.fullmatch(text)
    if found is None or found[2] == "role":
        return ""
    article = "an" if found[2][0] in "aeio" else "a"
    return f"names {article} {found[2].replace('-', ' ')}"


def partition_of_role(arn: str) -> str:
    """Return the partition of a role's ARN: one of `PARTITIONS`."""
    return arn.split(":")[1]
