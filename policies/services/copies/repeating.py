"""Copies that are made because a person wants it: again, or of a restore point that is older than the place."""

from django.db import transaction

from policies.domain.copies.states import CopyState
from policies.domain.errors import RefusedError
from policies.models import Copy, CopyRule, Run
from policies.services.copies import planning, rows
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.services import audit


def again(run: Run) -> int:
    """Have the run's failed copies made again; return how many. RefusedError: there is none, or its source is going."""
    failed = Copy.objects.filter(run=run, state=CopyState.FAILED).select_related("source", "run")
    copies = list(failed)
    if not copies:
        message = f"No copy of run {run.pk} has failed: there is nothing to repeat."
        raise RefusedError(message)
    if any(copy.snapshot_id for copy in copies):
        message = "What AWS left of the failed copy is deleted within five minutes: try again then."
        raise RefusedError(message)
    with transaction.atomic():
        for copy in copies:
            rows.again(copy)
        audit.record(Action.COPIED, audit.subject(Kind.RUN, run, run.label))
    return len(copies)


def rule_of(run: Run, place: str) -> CopyRule:
    """Return the place of the run's policy by its name; RefusedError if there is none.

    `eu-west-1` is in the account of the policy, `vault/eu-west-1` in another one.
    """
    rules = CopyRule.objects.filter(policy=run.policy_id or 0).select_related("policy", "account")
    found = {_name(rule): rule for rule in rules.order_by("pk")}
    if place not in found:
        known = f"it has {', '.join(found)}" if found else "it has none"
        message = f"{run.label} has no place {place[:100]} for copies ({known}): add it to the policy first."
        raise RefusedError(message)
    return found[place]


def _name(rule: CopyRule) -> str:
    own = rule.account_id in {None, rule.policy.account_id}
    return rule.region if own or rule.account is None else f"{rule.account.name}/{rule.region}"


def places(run: Run) -> list[str]:
    """Return the names of the places of its policy to which the run could be copied now."""
    rules = CopyRule.objects.filter(policy=run.policy_id or 0).select_related("policy", "account")
    return [_name(rule) for rule in rules.order_by("pk") if planning.wanted(run, rule)]


def copy(run: Run, place: str) -> int:
    """Have the run copied to a place of its policy, although it ended before the place was added; return how many.

    RefusedError: there is no such place, or nothing that it lacks.
    """
    rule = rule_of(run, place)
    sources = planning.wanted(run, rule)
    if not sources:
        message = f"Run {run.pk} has no usable snapshot that was never copied to {place}: nothing is done."
        raise RefusedError(message)
    with transaction.atomic():
        made = rows.plan(run, rule, sources)
        audit.record(
            Action.COPIED, audit.subject(Kind.RUN, run, run.label), [Change("place", "", place)]
        )
    return len(made)
