"""Folders: made with their owner, granted through guardian."""

import pwd

from django.db import transaction

from scripts_admin import permissions
from scripts_admin.domain import names
from scripts_admin.models import ROOT, Folder, User

# Names that a path, a page or the system means something else by.
RESERVED = frozenset(
    {"root", "n2wbackup", "cpmuser", "admin-api", "static", "health", "all", "new"}
)
FIRST_PERSON_UID = 1000
NOBODY_UID = 65534


class UserNameError(Exception):
    """A user cannot have this name; the text is one sentence for people."""


def check_user_name(name: str) -> None:
    """Raise UserNameError where no user may be called so."""
    if not names.is_user_name(name):
        message = (
            f"The user name {name!r} cannot be used: it has to start with a lower-case letter and go on with "
            "lower-case letters, digits, '_' or '-', 31 characters at most."
        )
        raise UserNameError(message)
    if name in RESERVED or _is_system_account(name):
        message = f"The user name {name!r} belongs to the system or is reserved: choose another."
        raise UserNameError(message)


def _is_system_account(name: str) -> bool:
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        return False
    return uid < FIRST_PERSON_UID or uid == NOBODY_UID


def root() -> Folder:
    """Return root's folder, which superusers share; it is made with the first who needs it."""
    folder, _ = Folder.objects.get_or_create(name=ROOT, owner=None)
    return folder


@transaction.atomic
def of(user: User) -> Folder:
    """Return the folder that the user's policies point to: root's for a superuser, else their own."""
    if user.is_superuser:
        return root()
    folder, made = Folder.objects.get_or_create(name=user.username, owner=user)
    if made:
        permissions.grant(user, folder)
    return folder
