"""Accounts: what of them reaches AWS, and what must be masked."""

from n2wbackup.lib import encrypted
from policies import permissions
from policies.domain.errors import CredentialsError, RefusedError
from policies.models import Account
from policies.ports import Credentials


def refuse_withdrawn(account: Account) -> None:
    """Raise RefusedError where the account uses the server's own role and its owner may not any more."""
    if account.auth == Account.Auth.INSTANCE and not permissions.may_use_server_role(account.owner):
        raise RefusedError(
            f"The account {account.name} uses the server's own role, which {account.owner} may not (any "
            "more): let a superuser give them the permission, or give the account keys or a role."
        )


def credentials(account: Account) -> Credentials:
    """Return the account's way in; empty ones mean the SDK's default chain."""
    if account.auth == Account.Auth.INSTANCE:
        return Credentials()
    if account.auth == Account.Auth.ROLE:
        return Credentials(role_arn=account.role_arn, external_id=account.external_id)
    try:
        return Credentials(account.access_key_id, account.secret_access_key or "")
    except encrypted.DecryptionError as error:
        raise CredentialsError(str(error)) from error


def secrets(account: Account | None) -> tuple[bytes, ...]:
    """Return the values that no output may show."""
    if account is None:
        return ()
    try:
        values = (account.access_key_id, account.secret_access_key or "")
    except encrypted.DecryptionError:
        return ()  # what cannot be read here cannot reach a script's output from here either
    return tuple(value.encode() for value in values if value)


def seal(account: Account | None) -> str:
    """Return the values that no output may show in a form that may lie on disk."""
    found = secrets(account)
    return encrypted.seal("\n".join(secret.decode() for secret in found)) if found else ""


def unseal(masks: str) -> tuple[bytes, ...]:
    """Return the values that `seal` took; none where the key is gone, as a thaw must not wait for it."""
    try:
        return tuple(line.encode() for line in encrypted.unseal(masks).split("\n")) if masks else ()
    except encrypted.DecryptionError:
        return ()


def bucket(account: Account, aws_account_id: str) -> str:
    """Return what permits are counted by: the AWS account where it is known, and remember it."""
    if aws_account_id and account.aws_account_id != aws_account_id:
        account.aws_account_id = aws_account_id
        account.save(update_fields=["aws_account_id"])
    return account.aws_account_id or f"row-{account.pk}"
