"""Where a document copies the snapshots of its policies to."""

from collections.abc import Sequence
from typing import Any

from policies.domain.document.marked import Entry, Mistake
from policies.models import CopyRule, Policy
from policies.services.document import columns
from policies.services.document.references import References
from policies.services.entry import copy_rules
from scripts_admin.models import User

KEY = "copies"
_KEYS = {
    "region": "region",
    "account": "account",
    "kms_key": "kms_key",
    "completion_minutes": "completion_minutes",
    "retention.keep_last": "keep_last",
    "retention.daily": "keep_daily",
    "retention.weekly": "keep_weekly",
    "retention.monthly": "keep_monthly",
    "retention.yearly": "keep_yearly",
    "retention.generations": "keep_generations",
}


def read(
    references: References, entry: Entry, policy: Policy, owner: User | None
) -> list[CopyRule] | None:
    """Return the rules that the entry names; None if it names none, or if one is wrong, which is then told."""
    if KEY not in entry.values or owner is None:
        return None
    read_entries: Sequence[Entry] = entry.values[KEY]
    wanted = [_rule(references, each, owner) for each in read_entries]
    if KEY in entry.unread or any(each.unread for each in read_entries):
        entry.unread.add(KEY)
        return None
    places = {column: key for key, column in _KEYS.items()}
    for number, column, sentence in copy_rules.mistakes(policy, wanted):
        of = read_entries[min(number, len(read_entries) - 1)]
        references.mistakes.append(Mistake(of.where(places[column]), sentence))
        entry.unread.add(KEY)
    return None if KEY in entry.unread else wanted


def _rule(references: References, entry: Entry, owner: User) -> CopyRule:
    said = {column: entry.get(key) for key, column in _KEYS.items() if column != "account"}
    rule = CopyRule(**{column: value for column, value in said.items() if value is not None})
    name = entry.get("account")
    if name:
        rule.account = owner.accounts.filter(name=name).first()
        if rule.account is None:
            sentence = f"{owner} has no account {name}: use an account of the policy's owner."
            references.tell(entry, "account", sentence)
    return rule


def enter(row: Policy, wanted: Sequence[CopyRule] | None) -> dict[str, str]:
    """Make these the rules of the policy, if the document names any; return the change in words."""
    if wanted is None:
        return {}
    of_policy = row.copy_rules.select_related("account", "policy").order_by("pk")
    old = copy_rules.listed(of_policy)
    if not copy_rules.replace(row, wanted):
        return {}
    return {KEY: columns.shown(old or None, copy_rules.listed(of_policy.all()) or "none")}


def exported(row: Policy) -> dict[str, Any]:
    """Return the rules as the document has them; nothing if there are none."""
    rules = sorted(row.copy_rules.all(), key=lambda rule: rule.pk)
    return {KEY: [_written(rule) for rule in rules]} if rules else {}


def _written(rule: CopyRule) -> dict[str, Any]:
    said: dict[str, Any] = {"region": rule.region}
    said |= {"account": rule.account.name} if rule.account else {}
    said |= {
        key: value for key in ("kms_key", "completion_minutes") if (value := getattr(rule, key))
    }
    kept = {
        key.partition(".")[2]: number
        for key, column in _KEYS.items()
        if key.startswith("retention.") and (number := getattr(rule, column))
    }
    return said | ({"retention": kept} if kept else {})
