"""The documents that an account needs in AWS's IAM, filled in and ready to copy."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Q

from n2wbackup.lib import home
from policies.models import Account, CopyRule, PolicyTarget
from scripts_admin.domain.remote import By, Key

_FOLDER = "deploy/iam"
_ANY_REGION = "arn:aws:ec2:*:"


@dataclass(frozen=True, slots=True)
class Paper:
    """One document; `open` are the words that only the reader can replace, each with what it stands for."""

    title: str
    help: str
    text: str
    open: tuple[tuple[str, str], ...] = ()


_CONNECT = "Logins by EC2 Instance Connect"
_OPEN = {
    "SERVER_ACCOUNT_ID": "the number of the AWS account in which this server runs",
    "ACCOUNT_ID": "the number of the AWS account that is backed up",
}


def regions(account: Account) -> list[str]:
    """Return the regions that the account is used in: its own, and those of its policies' targets."""
    used = PolicyTarget.objects.filter(policy__account=account).values_list("region", flat=True)
    return sorted({account.region, *used.distinct()})


def _users(account: Account) -> list[str]:
    """Return whom EC2 Instance Connect lets the policies of the account log in as."""
    wanted = PolicyTarget.objects.filter(
        policy__account=account, remote_by=By.SSH, remote_key=Key.INSTANCE_CONNECT
    )
    found = set(wanted.values_list("remote_user", flat=True))
    bastions = {each.remote.through for each in wanted.exclude(remote_bastion="")} - {None}
    return sorted(found | {each.user for each in bastions if each and each.user})


def papers(account: Account) -> list[Paper]:
    """Return the documents for the account's way in, the permissions first."""
    number = account.aws_account_id or _number_of(account.role_arn)
    where = {
        Account.Auth.KEYS: "Attach it to the user of the access keys.",
        Account.Auth.ROLE: "Attach it to the role that the account names.",
        Account.Auth.INSTANCE: "Attach it to the role of the machine that this server runs on.",
    }[Account.Auth(account.auth)]
    known = {"SERVER_ID": home.server_id()} | ({"ACCOUNT_ID": number} if number else {})
    found = [_paper("Permissions", where, "server.json", known, regions(account))]
    users = _users(account)
    if users:
        known = {"OS_USER": '", "'.join(users)} | ({"ACCOUNT_ID": number} if number else {})
        found.append(_paper(_CONNECT, where, "instance-connect.json", known, regions(account)))
    if copies_from_or_into(account):
        known = {"SERVER_ID": home.server_id()}
        found.append(_paper("Permissions for copies", where, "server-copies.json", known))
    if account.auth == Account.Auth.ROLE:
        trust = "Make it the trust policy of the role. Only this account of this server knows the external id."
        known = {"EXTERNAL_ID": account.external_id}
        found.append(_paper("Trust policy of the role", trust, "role-trust.json", known))
        role = "Attach it to the server's own role or user, so that it may assume the role."
        known = {"ACCOUNT_ID": number} if number else {}
        found.append(
            _paper("Permission to assume the role", role, "server-assume-role.json", known)
        )
    return found


def copies_from_or_into(account: Account) -> bool:
    """Tell whether a policy copies snapshots from the account, or into it."""
    of_account = Q(account=account) | Q(policy__account=account)
    return CopyRule.objects.filter(of_account).exists()


def for_ssm(account: Account) -> Paper:
    """Return the document that scripts over SSM need besides, and the page that tells whom they reach."""
    number = account.aws_account_id or _number_of(account.role_arn)
    words = "Attach it beside the permissions of the account, only if scripts are to run over SSM."
    known = {"ACCOUNT_ID": number} if number else {}
    return _paper("Permissions for SSM", words, "server-ssm.json", known, regions(account))


def _paper(
    title: str, words: str, file: str, known: dict[str, str], named: Sequence[str] = ()
) -> Paper:
    text = (settings.BASE_DIR / _FOLDER / file).read_text()
    # The longest first: one word is the end of another.
    for word in sorted(known, key=len, reverse=True):
        text = _replaced(text, word, known[word])
    document = json.loads(text)
    for statement in document["Statement"] if named else ():
        statement["Resource"] = _in_regions(statement["Resource"], named)
    text = json.dumps(document, indent=2)
    return Paper(title, words, text, tuple(_still_open(text)))


def _in_regions(resource: str | list[str], named: Sequence[str]) -> str | list[str]:
    """Return the resource in these regions only, one line for each."""
    found = [
        each.replace(_ANY_REGION, f"arn:aws:ec2:{region}:")
        for each in ([resource] if isinstance(resource, str) else resource)
        for region in named
    ]
    once = list(dict.fromkeys(found))
    return once[0] if len(once) == 1 else once


def _replaced(text: str, word: str, value: str) -> str:
    if word != "ACCOUNT_ID":
        return text.replace(word, value)
    kept = text.replace("SERVER_ACCOUNT_ID", "\0").replace(word, value)
    return kept.replace("\0", "SERVER_ACCOUNT_ID")


def _still_open(text: str) -> list[tuple[str, str]]:
    found: Any = []
    for word, words in _OPEN.items():
        if word in text:
            found.append((word, words))
            text = text.replace(word, "")
    return list(found)


def _number_of(role_arn: str) -> str:
    parts = role_arn.split(":")
    return parts[4] if len(parts) > 5 else ""  # noqa: PLR2004 - arn:aws:iam::NUMBER:role/…
