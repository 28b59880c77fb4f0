"""The saving rules of tag enrolment, for pages and for `apply`."""

from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.db import transaction

from n2wbackup.lib import clock
from policies.domain import enrolment
from policies.domain.enrolment import What
from policies.models import Account, EnrolRule, InventoryPlace
from policies.services.entry import trail
from scripts_admin.domain.audit import Action, Kind
from scripts_admin.models import User

MAX_RULES = 100
COLUMNS = ("what", "tag", "value", "policy_id")


def check(rule: EnrolRule) -> None:
    """Raise ValidationError, by field, if the rule cannot be saved as it is."""
    wrong: dict[str, str] = {}
    if rule.what not in list(What):
        wrong["what"] = f"This is {rule.what!r} but must be one of {', '.join(What)}: correct it."
    why = enrolment.why_no_tag(rule.tag, rule.value)
    if why:
        wrong["tag"] = why
    if rule.policy_id and rule.policy.account_id != rule.account_id:
        wrong["policy"] = (
            f"The policy {rule.policy.name} does not use the account {rule.account.name}: choose a policy that "
            "does, as a rule enrols what is in its account."
        )
    if wrong:
        raise ValidationError(wrong)


def add(rule: EnrolRule, *, by: User) -> None:
    """Save a new rule; the next refresh applies it. On ValidationError nothing is saved."""
    with transaction.atomic():
        rules = _locked(rule.account)
        check(rule)
        if any(_same(rule, other) for other in rules):
            raise ValidationError(f"This rule exists already: {words(rule)}. Nothing was added.")
        if len(rules) >= MAX_RULES:
            raise ValidationError(
                f"The account {rule.account.name} has {MAX_RULES} rules, and more are not possible: remove some."
            )
        rule.save()
        _apply_soon(rule.account)
        _tell(Action.CREATED, rule, by)


def remove(rule: EnrolRule, *, by: User) -> int:
    """Remove the rule; return how many targets it enrolled. They stay in the policy, as if people had entered them."""
    with transaction.atomic():
        _locked(rule.account)
        stay = rule.targets.update(untagged_since=None, stays_as_last=False)
        _tell(Action.DELETED, rule, by)
        rule.delete()
    return stay


def replace(account: Account, rules: Sequence[EnrolRule]) -> bool:
    """Make these the account's rules; False if nothing had to change. Equal rules keep their rows and targets.

    What a rule that goes had enrolled stays in its policy. On ValidationError nothing is changed.
    """
    for rule in rules:
        check(rule)
    with transaction.atomic():
        present = _locked(account)
        gone = [row for row in present if not any(_same(row, rule) for rule in rules)]
        new = [rule for rule in rules if not any(_same(rule, row) for row in present)]
        for row in gone:
            row.targets.update(untagged_since=None, stays_as_last=False)
            _tell(Action.DELETED, row)
            row.delete()
        for rule in new:
            rule.save()
            _tell(Action.CREATED, rule)
        if new:
            _apply_soon(account)
    return bool(gone or new)


def words(rule: EnrolRule) -> str:
    """Return the rule in words."""
    return f"{rule.what} with tag {rule.tag}={rule.value} join policy {rule.policy.name}"


def _locked(account: Account) -> list[EnrolRule]:
    """Return the account's rules; nobody else changes them until the transaction ends."""
    Account.objects.select_for_update().only("pk").get(pk=account.pk)
    return list(EnrolRule.objects.filter(account=account).select_related("policy"))


def _same(one: EnrolRule, other: EnrolRule) -> bool:
    return all(getattr(one, column) == getattr(other, column) for column in COLUMNS)


def _apply_soon(account: Account) -> None:
    InventoryPlace.objects.filter(account=account).update(next_at=clock.now())


def _tell(action: Action, rule: EnrolRule, by: User | None = None) -> None:
    trail.enter(
        Action.CHANGED,
        Kind.ACCOUNT,
        f"{rule.account.owner.username}/{rule.account.name}",
        key=str(rule.account_id),
        owner_id=rule.account.owner_id,
        person=by,
        changes=(
            ("enrol", words(rule), "") if action == Action.DELETED else ("enrol", "", words(rule)),
        ),
    )
