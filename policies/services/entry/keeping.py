"""The saving rules of a policy's retention."""

from collections.abc import Collection

from policies.models import Policy
from policies.services.due import rules

_BY_PERIOD = ("keep_last", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly")
_BOTH = (
    "A policy keeps either so many generations or by the rules last, daily, weekly, monthly and yearly: set "
    "generations to 0, or the others."
)


def wrong(policy: Policy, unread: Collection[str]) -> dict[str, str]:
    """Return the mistakes by column; what is in `unread` is not looked at."""
    found: dict[str, str] = {}
    if "retention_timezone" not in unread:
        try:
            rules.zone(policy.retention_timezone)
        except ValueError as error:
            found["retention_timezone"] = str(error)
    by_period = any(getattr(policy, column) for column in _BY_PERIOD)
    if (
        not {"keep_generations", *_BY_PERIOD} & set(unread)
        and policy.keep_generations
        and by_period
    ):
        found["keep_generations"] = _BOTH
    return found
