"""Where a policy's snapshots are copied to: the rules as people enter them."""

from collections.abc import Iterable, Sequence

from django.core.exceptions import ValidationError
from django.db import transaction

from n2wbackup.lib import clock
from policies.domain.copies import rules as checks
from policies.models import Account, CopyRule, Policy
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.services import audit

COLUMNS = ("region", "account_id", "kms_key", "completion_minutes", *checks.KEEPS)


def mistakes(policy: Policy, wanted: Sequence[CopyRule]) -> list[tuple[int, str, str]]:
    """Return the mistakes of the rules: which rule, column, and a sentence."""
    found: list[tuple[int, str, str]] = []
    places: set[tuple[str, int | None]] = set()
    for number, rule in enumerate(wanted):
        found += [(number, column, sentence) for column, sentence in checks.wrong(rule)]
        account = rule.account if rule.account_id else None
        if account is not None and account.owner_id != policy.owner_id:
            sentence = (
                f"{policy.owner} has no account {account}: use an account of the policy's owner."
            )
            found.append((number, "account", sentence))
        place = _place(policy, rule)
        if place in places:
            sentence = (
                "Another rule copies to this place already: change one of the two, or remove it."
            )
            found.append((number, "region", sentence))
        places.add(place)
        if account is not None and checks.needs_own_key(rule):
            sentence = "Only the account itself can use its default key: leave this empty, or name a key of your own."
            found.append((number, "kms_key", sentence))
    if len(wanted) > checks.MOST_RULES:
        sentence = f"A policy can copy to {checks.MOST_RULES} places at most: remove some."
        found.append((checks.MOST_RULES, "region", sentence))
    return found


def _place(policy: Policy, rule: CopyRule) -> tuple[str, int | None]:
    """The policy's own account may be named or left out: the place is the same."""
    own = rule.account_id in {None, policy.account_id}
    return rule.region, None if own else rule.account_id


def is_same_place(one: CopyRule, other: CopyRule) -> bool:
    """Tell whether two rules of a policy copy to the same place; only then does one take over the other's copies."""
    return _place(one.policy, one) == _place(one.policy, other)


def replace(policy: Policy, wanted: Sequence[CopyRule]) -> bool:
    """Make these the policy's rules; False if nothing had to change. ValidationError: nothing was changed.

    A rule of the same place keeps its copies. Copies of a rule that is gone stay, and no rule lets them go.
    """
    wrong = mistakes(policy, wanted)
    if wrong:
        raise ValidationError([sentence for _, _, sentence in wrong])
    with transaction.atomic():
        Policy.objects.select_for_update(of=("self",)).only("pk").get(pk=policy.pk)
        present = list(policy.copy_rules.select_related("account").order_by("pk"))
        before = listed(present)
        if [_facts(rule) for rule in present] == [_facts(rule) for rule in wanted]:
            return False
        _write(policy, present, wanted)
        after = listed(policy.copy_rules.select_related("account").order_by("pk"))
        subject = audit.subject(Kind.POLICY, policy, policy.label)
        audit.record(Action.CHANGED, subject, [Change("copies", before, after)])
    return True


def _write(policy: Policy, present: Sequence[CopyRule], wanted: Iterable[CopyRule]) -> None:
    now = clock.now()
    places = {_place(policy, rule): rule for rule in present}
    stay = set[int]()
    for rule in wanted:
        row = places.get(_place(policy, rule)) or CopyRule(
            policy=policy, created_at=now, seen_until=now
        )
        for column in COLUMNS:
            setattr(row, column, getattr(rule, column))
        row.save()
        stay.add(row.pk)
    policy.copy_rules.exclude(pk__in=stay).delete()


def _facts(rule: CopyRule) -> tuple[object, ...]:
    return tuple(getattr(rule, column) for column in COLUMNS)


def listed(rules: Iterable[CopyRule]) -> str:
    """Return the rules in words."""
    return "; ".join(in_words(rule) for rule in rules)


def in_words(rule: CopyRule) -> str:
    key = f", key {rule.kms_key}" if rule.kms_key else ""
    fast = f", within {rule.completion_minutes} min" if rule.completion_minutes else ""
    return f"to {rule}{key}{fast}, {rule.rules.in_words}"


def of_account(account: Account) -> list[str]:
    """Return the names of the policies that copy into this account."""
    rows = CopyRule.objects.filter(account=account).order_by("policy__name")
    return list(rows.values_list("policy__name", flat=True).distinct())
