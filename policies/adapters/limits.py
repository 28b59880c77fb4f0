"""EC2's limits for tags and descriptions, and the tags by which the product knows its own snapshots."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import TagTypeDef

OURS = "n2wbackup:"
SERVER_TAG, RUN_TAG = f"{OURS}server", f"{OURS}run"
COPY_TAG = f"{OURS}copy"
RECOVERY_TAG = f"{OURS}recovery"
_TAGS = 50
_KEY_CHARACTERS, _VALUE_CHARACTERS, _DESCRIPTION_CHARACTERS = 128, 256, 255
_CUT = "..."


def tags(given: Mapping[str, str]) -> dict[str, str]:
    """Return the tags cut to EC2's limits; if there are too many, `Name` and ours stay."""
    kept = sorted(given, key=lambda key: not (key == "Name" or key.startswith(OURS)))[:_TAGS]
    return {key[:_KEY_CHARACTERS]: _cut(given[key], _VALUE_CHARACTERS) for key in kept}


def image_name(recovery: str) -> str:
    """Return the name of the image that a recovery registers; nobody can change an image's name."""
    return f"n2wbackup-{recovery}"


def rows(given: Mapping[str, str]) -> "list[TagTypeDef]":
    """Return the tags, cut to EC2's limits, as the SDK takes them."""
    return [{"Key": key, "Value": value} for key, value in tags(given).items()]


def description(given: str) -> str:
    """Return a snapshot's description, cut to EC2's limit."""
    return _cut(given, _DESCRIPTION_CHARACTERS)


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - len(_CUT)] + _CUT
