"""An account's secrets, which no output may show: the values to mask, and their sealed form for the spool."""

from n2wbackup.lib import encrypted
from policies.models import Account


def secrets(account: Account | None) -> tuple[bytes, ...]:
    """Return the values that no output may show."""
    if account is None:
        return ()
    try:
        values = (account.access_key_id, account.secret_access_key or "")
    except encrypted.DecryptionError:
        return ()  # a secret that cannot be decrypted here cannot get into a script's output either
    return tuple(value.encode() for value in values if value)


def seal(account: Account | None) -> str:
    """Return the values that no output may show, encrypted, so that they may be stored on disk."""
    found = secrets(account)
    return encrypted.seal("\n".join(secret.decode() for secret in found)) if found else ""


def unseal(masks: str) -> tuple[bytes, ...]:
    """Return the values that were sealed; none if the key is lost, as a thaw must not wait for it."""
    try:
        return tuple(line.encode() for line in encrypted.unseal(masks).split("\n")) if masks else ()
    except encrypted.DecryptionError:
        return ()
