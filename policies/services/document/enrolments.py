"""The rules of tag enrolment that a document names for its accounts: applied last, as they name policies."""

from collections.abc import Iterable
from functools import partial

from n2wbackup.lib import nearest
from policies.domain.document.marked import Entry
from policies.domain.enrolment import What
from policies.models import Account, EnrolRule, Policy, PolicyTarget
from policies.services.document.references import POLICY, References
from policies.services.entry import rules

KEY = "enrol"


def named(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return the accounts whose entries name their rules."""
    return tuple(entry for entry in entries if KEY in entry.values)


def enter(entry: Entry, references: References) -> tuple[str, dict[str, str]]:
    """Make the entry's rules those of its account, the whole list; return the account, and what changed in words.

    Rules that the list lacks go, and what they enrolled stays in its policy. Without the account, whose mistake is
    told already, the name is empty.
    """
    owner, name = references.owner(entry), entry.values.get("name")
    account = owner.accounts.filter(name=name).first() if owner and name else None
    if account is None:
        return "", {}
    before = _words(account)
    wanted = [_rule(each, account, references) for each in entry.values[KEY]]
    found = [rule for rule in wanted if rule is not None]
    changed = (
        len(found) == len(wanted) and KEY not in entry.unread and rules.replace(account, found)
    )
    said = {KEY: f"{before or 'none'} → {_words(account) or 'none'}"} if changed else {}
    return f"{account.owner}/{account.name}", said


def adopt(policies: Iterable[tuple[Entry, Policy]]) -> None:
    """Give targets that the document calls enrolled to a rule of their policy, as they were where it was exported.

    Without such a rule they stay as if people had entered them.
    """
    for entry, policy in policies:
        enrolled = {
            (each.values.get("region"), each.values.get("instance") or each.values.get("volume"))
            for each in entry.values.get("targets", ())
            if each.values.get("enrolled")
        }
        for target in policy.targets.filter(rule=None) if enrolled else ():
            if (target.region, str(target)) in enrolled:
                what = What.INSTANCES if target.instance_id else What.VOLUMES
                rule = EnrolRule.objects.filter(policy=policy, what=what).first()
                PolicyTarget.objects.filter(pk=target.pk).update(rule=rule)


def _rule(entry: Entry, account: Account, references: References) -> EnrolRule | None:
    """Return the entry's rule, not saved; None if it is wrong, which is then told."""
    if entry.unread:
        return None
    name = entry.values["policy"]
    policy = account.owner.policies.filter(name=name).first()
    if policy is None:
        if not references.is_spoilt(POLICY, account.owner, name):
            near = nearest.hint(name, account.owner.policies.values_list("name", flat=True))
            sentence = f"{account.owner} has no policy {name}: add it, or correct the name.{near}"
            references.tell(entry, "policy", sentence)
        return None
    rule = EnrolRule(
        account=account,
        policy=policy,
        what=entry.values.get("what", What.INSTANCES.value),
        tag=entry.values["tag"],
        value=entry.values.get("value", ""),
    )
    references.ask(entry, partial(rules.check, rule))
    return None if entry.unread else rule


def _words(account: Account) -> str:
    found = EnrolRule.objects.filter(account=account).select_related("policy")
    return "; ".join(rules.words(rule) for rule in found)
