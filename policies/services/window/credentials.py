"""An account's access to AWS: permission to use it, its credentials, and the rate limits it counts for."""

from collections.abc import Collection, Mapping

from n2wbackup.lib import encrypted
from policies.adapters import session
from policies.domain.errors import CredentialsError, RefusedError
from policies.models import Account
from policies.ports import Credentials
from scripts_admin import permissions


def refuse_withdrawn(account: Account) -> None:
    """Raise RefusedError if the account uses the server's own role and its owner is not allowed to."""
    if account.auth == Account.Auth.INSTANCE and not permissions.may_use_server_role(account.owner):
        raise RefusedError(
            f"The account {account.name} uses the server's own role, but {account.owner} is not (or no longer) "
            "allowed to use it: ask a superuser for the permission, or give the account keys or a role."
        )


def accounts(keys: Collection[int]) -> Mapping[int, Account]:
    """Return the accounts, with their secrets at once; one that cannot be decrypted fails where it is used."""
    if not keys:
        return {}
    try:
        return Account.objects.in_bulk(keys)
    except encrypted.DecryptionError:
        return Account.objects.defer("secret_access_key").in_bulk(keys)


def of(account: Account) -> Credentials:
    """Return the account's credentials; empty ones mean the SDK's default chain."""
    if account.auth == Account.Auth.INSTANCE:
        return Credentials()
    if account.auth == Account.Auth.ROLE:
        return Credentials(role_arn=account.role_arn, external_id=account.external_id)
    try:
        return Credentials(account.access_key_id, account.secret_access_key or "")
    except encrypted.DecryptionError as error:
        raise CredentialsError(str(error)) from error


def bucket(account: Account, aws_account_id: str) -> str:
    """Return the key that permits are counted by: the AWS account, if it is known; and store it."""
    if aws_account_id and account.aws_account_id != aws_account_id:
        account.aws_account_id = aws_account_id
        account.save(update_fields=["aws_account_id"])
    return account.aws_account_id or row_bucket(account)


def row_bucket(account: Account) -> str:
    """Return the key that permits are counted by while the AWS account is not known."""
    return f"row-{account.pk}"


def number(account: Account, region: str) -> str:
    """Return the number of the AWS account; AWS is asked once, if nobody has learned it yet."""
    if not account.aws_account_id:
        bucket(account, session.cloud(of(account)).caller(region).aws_account_id)
    return account.aws_account_id


def same_aws(one: Account, other: Account, region: str) -> bool:
    """Tell whether both reach the same AWS account; AWS is asked in that region, if it is not known."""
    return one.pk == other.pk or number(one, region) == number(other, region)
