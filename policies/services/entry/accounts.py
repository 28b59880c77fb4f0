"""The saving rules of accounts, for admin forms and for `apply`."""

import uuid
from collections.abc import Collection

from django.core.exceptions import ValidationError
from django.db import transaction

from n2wbackup.lib.encrypted import DecryptionError
from policies.domain import identifiers
from policies.domain.errors import RefusedError
from policies.models import Account, Run
from policies.services.entry import audited, chosen, copy_rules
from scripts_admin import permissions
from scripts_admin.domain.audit import Action

# The columns that people enter; only the server writes the others.
COLUMNS = (
    *("owner", "name", "auth", "access_key_id", "secret_access_key", "role_arn"),
    *("region", "regions"),
)
MAX_KEY_ID = 128
MAX_REGIONS = 50  # more than AWS has


def check(account: Account, *, unread: Collection[str] = ()) -> None:
    """Raise ValidationError, by field, if the account cannot be saved as it is.

    Rules that need a field of `unread` are skipped: it is not set, and its mistake is already reported.
    """
    wrong: dict[str, str] = {}
    unread = set(unread)
    if "name" not in unread:
        wrong |= _name(account, unread)
    if "region" not in unread and not identifiers.is_region(account.region):
        wrong["region"] = f"{account.region} is not an AWS region: write one such as us-east-1."
    if "regions" not in unread:
        wrong |= _regions(account)
    if "auth" not in unread:
        wrong |= _way_in(account, unread)
    if wrong:
        raise ValidationError(wrong)


def save(account: Account) -> None:
    """Save the account. On ValidationError nothing is saved."""
    with transaction.atomic():
        account.external_id = _external_id(account)  # this also locks the row
        check(account)
        before = audited.account(account.pk)
        if account.auth != Account.Auth.KEYS:
            account.secret_access_key = ""
        if account.pk:
            loaded = {*COLUMNS, "external_id"} - account.get_deferred_fields()
            account.save(update_fields=sorted(loaded))
        else:
            account.save()
        chosen.follow(account)
        audited.enter_account(account, before)


def _external_id(account: Account) -> str:
    """Return the stored external id, which never changes. A role without one gets a new one."""
    stored = ""
    if account.pk:
        rows = Account.objects.select_for_update().only("external_id")
        stored = rows.get(pk=account.pk).external_id
    return stored or (str(uuid.uuid4()) if account.auth == Account.Auth.ROLE else "")


def delete(account: Account) -> None:
    """Delete the account; RefusedError, and nothing changed, if a run or a policy needs it."""
    with transaction.atomic():
        Account.objects.select_for_update().only("pk").get(pk=account.pk)
        reason = why_not_deleted(account)
        if reason:
            raise RefusedError(reason)
        audited.enter(Action.DELETED, account)
        Account.objects.filter(pk=account.pk).delete()


def why_not_deleted(account: Account) -> str:
    """Return the reason why the account cannot be deleted, or ""."""
    run = _running(account)
    if run is not None:
        return (
            f"The account {account.name} cannot be deleted while run {run.pk} of {run.label} is "
            f"{run.state}: wait until it ends, or cancel it."
        )
    names = sorted(account.policies.values_list("name", flat=True))
    if names:
        return (
            f"The account {account.name} cannot be deleted, because policies use it: {', '.join(names)}. "
            "Delete these policies or give them another account first."
        )
    copied = copy_rules.of_account(account)
    if copied:
        return (
            f"The account {account.name} cannot be deleted, because snapshots are copied into it by policies: "
            f"{', '.join(copied)}. Change their rules of copies first."
        )
    return ""


def _running(account: Account) -> Run | None:
    return Run.objects.unfinished().filter(account=account).first()


def _regions(account: Account) -> dict[str, str]:
    """Refuse chosen regions that no account can have."""
    wrong = [each for each in account.regions if not identifiers.is_region(each)]
    if wrong:
        return {"regions": f"{wrong[0]} is not an AWS region: write one such as us-east-1."}
    twice = sorted({each for each in account.regions if account.regions.count(each) > 1})
    if twice:
        return {"regions": f"{twice[0]} is chosen twice: remove one of them."}
    if len(account.regions) > MAX_REGIONS:
        return {"regions": f"At most {MAX_REGIONS} regions can be chosen: remove some."}
    return {}


def _name(account: Account, unread: set[str]) -> dict[str, str]:
    name = account.name
    if not identifiers.is_label(name):
        return {
            "name": (
                "An account's name must be visible text without '/' and without spaces at its ends, "
                f"at most {identifiers.LABEL_CHARACTERS} characters."
            )
        }
    return _renamed(account) or ({} if "owner" in unread else _taken(account))


def _renamed(account: Account) -> dict[str, str]:
    before = Account.objects.filter(pk=account.pk).defer("secret_access_key").first()
    if before is not None and before.owner_id != account.owner_id:
        return {"owner": f"The account {before.name} cannot change its owner: create a new one."}
    if before is not None and before.name != account.name:
        run = _running(before)
        if run is not None:
            return {
                "name": (
                    f"The account {before.name} cannot be renamed while run {run.pk} of {run.label} is "
                    f"{run.state}: wait until it ends, or cancel it."
                )
            }
    return {}


def _taken(account: Account) -> dict[str, str]:
    same = Account.objects.filter(owner=account.owner_id).exclude(pk=account.pk)
    if not identifiers.is_one_of(account.name, same.values_list("name", flat=True)):
        return {}
    return {"name": f"{account.owner} already has an account {account.name}: choose another name."}


def _way_in(account: Account, unread: set[str]) -> dict[str, str]:
    if account.auth == Account.Auth.KEYS:
        return _keys(account, unread) | _no_role(account, unread)
    if account.auth == Account.Auth.ROLE:
        return _role(account, unread) | _no_keys(account, unread)
    if account.auth != Account.Auth.INSTANCE:
        known = ", ".join(Account.Auth.values)
        return {"auth": f"This version does not know auth {account.auth}: choose one of {known}."}
    wrong = _no_role(account, unread) | _no_keys(account, unread)
    if "owner" not in unread and not permissions.may_use_server_role(account.owner):
        wrong["auth"] = (
            f"{account.owner} is not allowed to use the server's own role: use access keys (auth: keys) or a "
            "role (auth: role), or ask a superuser for the permission."
        )
    return wrong


def _no_keys(account: Account, unread: set[str]) -> dict[str, str]:
    if "access_key_id" in unread or not account.access_key_id:
        return {}
    return {"access_key_id": "Only auth: keys has access keys: remove them."}


def _no_role(account: Account, unread: set[str]) -> dict[str, str]:
    if "role_arn" in unread or not account.role_arn:
        return {}
    return {"role_arn": "Only auth: role names a role: remove it, or choose auth: role."}


def _role(account: Account, unread: set[str]) -> dict[str, str]:
    if "role_arn" in unread or identifiers.is_role_arn(account.role_arn):
        return {}
    other = identifiers.why_no_role_arn(account.role_arn)
    why = f"{other} and not a role" if other else "is not the ARN of a role"
    return {
        "role_arn": (
            f"{account.role_arn!r} {why}: write one such as arn:aws:iam::123456789012:role/n2wbackup."
        )
    }


def _keys(account: Account, unread: set[str]) -> dict[str, str]:
    wrong = {}
    key = account.access_key_id
    if "access_key_id" not in unread and (not key or key.split() != [key] or len(key) > MAX_KEY_ID):
        wrong["access_key_id"] = (
            f"Access keys (auth: keys) need an access key id without spaces, at most {MAX_KEY_ID} "
            "characters."
        )
    elif "access_key_id" not in unread and (why := identifiers.why_no_access_key_id(key)):
        wrong["access_key_id"] = f"{key} {why}."
    # The stored secret is not read: if its encryption key is lost, people must still be able to enter a new one.
    kept = "secret_access_key" in account.get_deferred_fields() and (
        Account.objects.filter(pk=account.pk, auth=Account.Auth.KEYS).exists()
    )
    if "secret_access_key" not in unread and not kept and not account.secret_access_key:
        wrong |= {"secret_access_key": "Access keys need a secret access key: enter it."}
    elif "secret_access_key" not in unread and not kept:
        wrong |= _secret(account)
    return wrong


def _secret(account: Account) -> dict[str, str]:
    try:
        why = identifiers.why_no_secret(account.secret_access_key)
    except DecryptionError:  # stored under a lost key, and not entered now
        return {}
    return {"secret_access_key": f"The secret access key {why}."} if why else {}
