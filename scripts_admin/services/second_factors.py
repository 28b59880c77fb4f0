"""Second factors in our tables: a code counts once, and secrets change their key."""

import hashlib
from collections.abc import Iterable

from allauth.mfa.models import Authenticator
from django.db import transaction

from n2wbackup.lib import encrypted
from scripts_admin.models import User

_USED = "n2w_used"
_SECRETS = ("secret", "seed")


@transaction.atomic
def use_once(factor: Authenticator, code: str) -> bool:
    """Note the code of an app as used; False if it was the last one that was used.

    In the row, and not in memory: it holds for every server, and after a restart.
    """
    if factor.type != Authenticator.Type.TOTP:
        return True  # a recovery code is used up by itself
    row = Authenticator.objects.select_for_update().get(pk=factor.pk)
    digest = hashlib.sha256(f"{row.pk} {code.strip()}".encode()).hexdigest()
    recent = row.data.get(_USED, [])
    if digest in recent:
        return False
    row.data[_USED] = [*recent[-2:], digest]  # three codes are valid at a time
    row.save(update_fields=["data"])
    factor.data = row.data
    return True


def with_one(people: Iterable[User]) -> set[int]:
    """Return the keys of the people who have an app or a passkey."""
    rows = Authenticator.objects.filter(user__in=people)
    rows = rows.exclude(type=Authenticator.Type.RECOVERY_CODES)
    return set(rows.values_list("user_id", flat=True))


@transaction.atomic
def rekey() -> int:
    """Encrypt the secrets of all second factors again, with the first key; return the count."""
    count = 0
    for row in Authenticator.objects.select_for_update().order_by("pk"):
        for name in _SECRETS:
            if name in row.data:
                row.data[name] = encrypted.seal(encrypted.unseal(row.data[name]))
                count += 1
        row.save(update_fields=["data"])
    return count
