"""Targets as people type them, one per line: `i-0123456789abcdef0 eu-west-1 without boot vol-0123456789abcdef0`."""

from typing import NamedTuple

from policies.domain import identifiers

WITHOUT, BOOT = "without", "boot"
_FORM = "write an id, and behind it a region if it is another one"


class Typed(NamedTuple):
    """A target of one line; exactly one of the two ids is set."""

    instance_id: str
    volume_id: str
    region: str
    exclude_boot_volume: bool = False
    exclude_volume_ids: tuple[str, ...] = ()


def parse(line: str, region: str) -> Typed:
    """Return the target of the line, in `region` unless it names one; ValueError with a sentence if it has none."""
    first, *rest = line.replace(",", " ").split()
    is_instance = identifiers.is_instance_id(first)
    if not is_instance and not identifiers.is_volume_id(first):
        message = f"{first!r} is neither an instance id (i-…) nor a volume id (vol-…): {_FORM}."
        raise ValueError(message)
    if rest and rest[0] != WITHOUT:
        region, *rest = rest
        if not identifiers.is_region(region):
            message = f"{region!r} behind {first} is not an AWS region: {_FORM}."
            raise ValueError(message)
    left_out = rest[1:] if rest and rest[0] == WITHOUT else rest
    wrong = [word for word in left_out if word != BOOT and not identifiers.is_volume_id(word)]
    if wrong or (rest and not left_out) or rest[:1] not in ([], [WITHOUT]):
        message = (
            f"{' '.join(wrong or rest)!r} behind {first} is not understood: write 'without boot' or 'without' and "
            "volume ids to leave volumes out."
        )
        raise ValueError(message)
    return Typed(
        first if is_instance else "",
        "" if is_instance else first,
        region,
        BOOT in left_out,
        tuple(word for word in left_out if word != BOOT),
    )
