"""Where the snapshots of a policy are copied to, and the mistakes that such a rule can have. Pure."""

import re
from collections.abc import Iterator
from typing import Protocol

from policies.domain import identifiers

SHORTEST_MINUTES, LONGEST_MINUTES, STEP_MINUTES = 15, 2_880, 15
MOST_RULES = 10
KEEPS = (
    "keep_last",
    "keep_daily",
    "keep_weekly",
    "keep_monthly",
    "keep_yearly",
    "keep_generations",
)
HIGHEST = {
    "keep_last": 1_000,
    "keep_daily": 3_660,
    "keep_weekly": 520,
    "keep_monthly": 240,
    "keep_yearly": 100,
    "keep_generations": 10_000,
}
_KEY = re.compile(
    r"alias/[A-Za-z0-9/_-]{1,250}|mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|arn:aws[a-z-]*:kms:(?P<region>[a-z0-9-]+):\d{12}:(key|alias)/[A-Za-z0-9/_-]{1,250}"
)
_BOTH = (
    "Copies are kept either as so many generations or by the rules last, daily, weekly, monthly and yearly: set "
    "generations to 0, or the others."
)
_DEFAULT_KEY = "alias/aws/ebs"


class Wanted(Protocol):
    """A rule as it was entered."""

    region: str
    kms_key: str
    completion_minutes: int


def wrong(rule: Wanted) -> Iterator[tuple[str, str]]:
    """Yield each mistake of the rule by itself: its column and a sentence."""
    if not identifiers.is_region(rule.region):
        yield "region", f"{rule.region!r} is not an AWS region: write one such as eu-central-1."
    key = _KEY.fullmatch(rule.kms_key) if rule.kms_key else None
    if rule.kms_key and key is None:
        yield (
            "kms_key",
            f"{rule.kms_key!r} is not a KMS key: write its ARN, its id or its alias (alias/…).",
        )
    elif key is not None and key["region"] not in {None, rule.region}:
        yield (
            "kms_key",
            f"The key is in {key['region']}, but the copies are to be in {rule.region}: name a key of that region.",
        )
    minutes = rule.completion_minutes
    if minutes and (not SHORTEST_MINUTES <= minutes <= LONGEST_MINUTES or minutes % STEP_MINUTES):
        yield (
            "completion_minutes",
            f"AWS sells no copy within {minutes} minutes: write a multiple of {STEP_MINUTES} up to {LONGEST_MINUTES}.",
        )
    numbers = {column: getattr(rule, column, 0) for column in KEEPS}
    for column, number in numbers.items():
        if not 0 <= number <= HIGHEST[column]:
            yield column, f"This is {number} but must be from 0 to {HIGHEST[column]}: correct it."
    if numbers["keep_generations"] and any(
        number for column, number in numbers.items() if column != "keep_generations"
    ):
        yield (
            "keep_generations",
            _BOTH,
        )


def needs_own_key(rule: Wanted) -> bool:
    """Tell whether the rule names the default key, which no other account can use."""
    return rule.kms_key == _DEFAULT_KEY
