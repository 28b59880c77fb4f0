"""The saving rules of a policy's retention and proofs, and what a change of it lets go."""

from collections.abc import Collection

from policies.domain.proofs import Level, Recipe
from policies.models import Policy
from policies.services.due import rules
from policies.services.retention import planning
from policies.services.retention.planning import Edited

_BY_PERIOD = ("keep_last", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly")
_BOTH = (
    "A policy keeps either so many generations or by the rules last, daily, weekly, monthly and yearly: set "
    "generations to 0, or the others."
)
_NO_RECIPE = (
    "A proof of level {} starts an application, and none is named: choose postgresql, mariadb, redis or files, or "
    "level 1."
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
    if not {"proof_level", "proof_recipe"} & set(unread) and (
        policy.proof_level >= Level.STARTS and policy.proof_recipe == Recipe.NONE
    ):
        found["proof_recipe"] = _NO_RECIPE.format(policy.proof_level)
    return found


def edited(row: Policy) -> Edited | None:
    """Return what saving the row would do to the restore points of the stored policy; None: its rules stay."""
    before = Policy.objects.filter(pk=row.pk).first()
    if before is None or (before.rules, before.enabled) == (row.rules, row.enabled):
        return None
    return planning.edited(before, row)


def warnings(row: Policy) -> tuple[str, ...]:
    """Return a sentence if saving the row lets go of more restore points than the stored policy does."""
    change = edited(row)
    if change is None or not change.more:
        return ()
    number = len(change.more)
    points = "1 restore point goes" if number == 1 else f"{number} restore points go"
    return (f"{points} by the changed rules and stayed before: see prune {row.label} --dry-run.",)
