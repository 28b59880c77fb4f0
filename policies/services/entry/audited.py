"""What the audit shows of policies, accounts and schedules: the values that people enter, in the document's words."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from n2wbackup.lib.encrypted import DecryptionError
from policies.domain.document import fields
from policies.models import Account, Policy, PolicyTarget, Schedule
from scripts_admin.domain import audit as words
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.services import audit

Facts = Mapping[str, object]
_ACCOUNT = ("name", "auth", "access_key_id", "role_arn", "region")
_SCHEDULE = ("name", "cron", "every", "starting", "ending", "timezone", "disabled")
_KINDS = {Policy: Kind.POLICY, Account: Kind.ACCOUNT, Schedule: Kind.SCHEDULE}
_SWITCHED = {"true": Action.ENABLED, "false": Action.DISABLED}


def policy(key: int | None) -> Facts:
    """Return the stored policy's values; none for a new one."""
    rows = Policy.objects.select_related("owner", "account").defer("account__secret_access_key")
    found = rows.filter(pk=key).first() if key else None
    return _of_policy(found) if found else {}


def account(key: int | None) -> Facts:
    """Return the stored account's values; its secret only as it is stored."""
    if not key:
        return {}
    found = Account.objects.defer("secret_access_key").filter(pk=key).first()
    return _of_account(found, _stored_secret(key)) if found else {}


def schedule(key: int | None) -> Facts:
    """Return the stored schedule's values; none for a new one."""
    found = Schedule.objects.filter(pk=key).first() if key else None
    return _of_schedule(found) if found else {}


def enter_policy(row: Policy, before: Facts) -> None:
    """Enter what saving the policy has changed; nothing if nothing has."""
    _enter(row, before, _of_policy(row))


def enter_account(row: Account, before: Facts) -> None:
    """Enter what saving the account has changed; a new secret is only named."""
    _enter(row, before, _of_account(row, _stored_secret(row.pk)))


def enter_schedule(row: Schedule, before: Facts) -> None:
    """Enter what saving the schedule has changed."""
    _enter(row, before, _of_schedule(row))


def enter_targets(row: Policy, before: str, after: Iterable[PolicyTarget]) -> None:
    """Enter the policy's old targets, as `listed` gave them, and the new ones."""
    change = Change("targets", before, listed(after))
    audit.record(Action.CHANGED, _subject(row), [change])


def enter(action: Action, row: Policy | Account | Schedule) -> None:
    """Enter something that was done to the row as a whole."""
    audit.record(action, _subject(row))


def enter_pause(row: Policy, end: str, reason: str) -> None:
    """Enter a pause with its end and its reason; an empty end means that it was ended."""
    action = Action.PAUSED if end else Action.RESUMED
    changes = [Change("paused_until", "", end)] if end else []
    audit.record(action, _subject(row), changes, reason=reason)


def _enter(row: Policy | Account | Schedule, before: Facts, after: Facts) -> None:
    changes = words.difference(before, after)
    if not before:
        audit.record(Action.CREATED, _subject(row), _no_empty(changes))
    elif changes:
        audit.record(_action(changes), _subject(row), changes)


def _action(changes: Sequence[Change]) -> Action:
    """Switching a policy on or off has a word of its own."""
    if [change.field for change in changes] == ["enabled"]:
        return _SWITCHED[changes[0].after]
    return Action.CHANGED


def _no_empty(changes: Iterable[Change]) -> list[Change]:
    return [change for change in changes if change.after]


def _subject(row: Policy | Account | Schedule) -> audit.Subject:
    return audit.subject(_KINDS[type(row)], row, f"{row.owner.username}/{row.name}")


def _of_policy(row: Policy) -> Facts:
    schedules = sorted(row.schedules.values_list("name", flat=True))
    entered = {each.key: getattr(row, each.column) for each in fields.POLICY}
    return {"name": row.name, "account": row.account.name, "schedules": schedules, **entered}


def _of_account(row: Account, stored_secret: str) -> Facts:
    return {name: getattr(row, name) for name in _ACCOUNT} | {"secret_access_key": stored_secret}


def _stored_secret(key: int) -> str:
    """Return something that differs when the stored secret does, and is not the secret."""
    try:
        text = Account.objects.values_list("secret_access_key", flat=True).get(pk=key)
    except DecryptionError:
        return "under a lost key"
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def _of_schedule(row: Schedule) -> Facts:
    every = f"{row.every_number} {row.every_unit}" if row.every_unit else ""
    found = {name: getattr(row, name) for name in _SCHEDULE if name != "every"}
    return {**found, "every": every}


def listed(targets: Iterable[PolicyTarget]) -> str:
    return ", ".join(
        f"{each} in {each.region}"
        + (" without boot volume" if each.exclude_boot_volume else "")
        + (f" without {' '.join(each.exclude_volume_ids)}" if each.exclude_volume_ids else "")
        + each.scripts_in_words
        for each in targets
    )
