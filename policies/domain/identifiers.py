"""The formats of AWS's names. A correct format means that a name can exist, not that it does."""

import re
from collections.abc import Iterable

from n2wbackup.lib import terminal

_INSTANCE = re.compile(r"i-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_VOLUME = re.compile(r"vol-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_ROLE = re.compile(
    r"arn:(aws|aws-cn|aws-us-gov):iam::[0-9]{12}:role/(?:[\x21-\x7e]{1,510}/)?[A-Za-z0-9+=,.@_-]{1,64}"
)
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-[1-9][0-9]?")
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


def partition_of_role(arn: str) -> str:
    """Return the partition of a role's ARN: aws, aws-cn or aws-us-gov."""
    return arn.split(":")[1]
