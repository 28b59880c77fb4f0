"""An account's secrets, which no output may show: read for the masks, and sealed for the spool."""

from n2wbackup.lib import encrypted
from policies.models import Account


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
