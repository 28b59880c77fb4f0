"""Who may come in over SSH: sshd asks a list at each login, and the list follows the rows of users.

It is written when a change of a user is committed, and again by the watchdog every ten seconds: another server, or an
SQL client, may have changed the rows.
"""

import logging

from django.db import transaction

from scripts_admin.domain.linux_register import Kind
from scripts_admin.folders.provisioning import admitted, machine
from scripts_admin.models import User

log = logging.getLogger(__name__)


def follow() -> None:
    """Write down who may come in: each active user who is no superuser. Nothing is done where no account was made."""
    if any(each.kind == Kind.TENANT for each in machine.register().values()):
        write()


def write() -> bool:
    """Write the list, and tell whether it changed. OSError: it could not be written."""
    people = User.objects.filter(is_active=True, is_superuser=False)
    return admitted.write(people.values_list("username", flat=True))


def follow_soon() -> None:
    """Do it when this transaction is committed. A disk that is full stops no change of a user: it is tried again."""
    transaction.on_commit(_try)


def _try() -> None:
    try:
        follow()
    except OSError as error:
        log.error(  # noqa: TRY400 - the sentence says all
            "who may log in over SSH could not be written down, and is tried again: %s", error
        )
