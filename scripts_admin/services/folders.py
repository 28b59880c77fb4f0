"""Folders: created with their owner, who gets the permission through guardian."""

import pwd

from django.db import transaction

from scripts_admin import permissions
from scripts_admin.domain import names
from scripts_admin.models import ROOT, Folder, User

# Names that already mean something else in a path, on a page or to the system.
RESERVED = frozenset(
    {"root", "n2wbackup", "cpmuser", "admin-api", "static", "health", "all", "new"}
)
FIRST_PERSON_UID = 1000
NOBODY_UID = 65534


class UserNameError(Exception):
    """A user cannot have this name; the text is a sentence for the user."""


def check_user_name(name: str) -> None:
    """Raise UserNameError if no user may have this name."""
    if not names.is_user_name(name):
        message = (
            f"The user name {name!r} cannot be used: it must start with a lower-case letter, followed by "
            "lower-case letters, digits, '_' or '-', and have at most 31 characters."
        )
        raise UserNameError(message)
    if name in RESERVED or _is_system_account(name):
        message = (
            f"The user name {name!r} belongs to the system or is reserved: choose another name."
        )
        raise UserNameError(message)


def _is_system_account(name: str) -> bool:
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        return False
    return uid < FIRST_PERSON_UID or uid == NOBODY_UID


def root() -> Folder:
    """Return root's folder, which superusers share; it is created at the first use."""
    folder, _ = Folder.objects.get_or_create(name=ROOT, owner=None)
    return folder


@transaction.atomic
def of(user: User) -> Folder:
    """Return the folder for the user's policies: root's for a superuser, else their own."""
    if user.is_superuser:
        return root()
    folder, made = Folder.objects.get_or_create(name=user.username, owner=user)
    if made:
        permissions.grant(user, folder)
    return folder
