"""Folders: created with their owner, and set aside when the owner goes.

A folder belongs to its row, and not to whoever has its name: a user who is created again under the name of a
deleted one is somebody else.
"""

import logging
from functools import partial
from pathlib import Path

from django.db import transaction

from n2wbackup.lib import clock
from scripts_admin import linux_accounts
from scripts_admin.domain import names
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.folders import storage
from scripts_admin.linux_accounts import AccountError
from scripts_admin.models import ROOT, Folder, FormerFolder, User
from scripts_admin.services import audit, ssh_files

log = logging.getLogger(__name__)

# Names that already mean something else in a path, on a page or to the system.
RESERVED = frozenset(
    {"root", "n2wbackup", "cpmuser", "admin-api", "static", "health", "all", "new", "invite"}
)


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
    if name in RESERVED or linux_accounts.is_system(linux_accounts.uid_of(name)):
        message = (
            f"The user name {name!r} belongs to the system or is reserved: choose another name."
        )
        raise UserNameError(message)


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
        audit.record(Action.CREATED, audit.subject(Kind.FOLDER, folder, folder.name))
    return folder


def on_disk(folder: Folder) -> Path:
    """Create the folder on disk if it is missing, and keep a deleted user's files out of it; OSError if this fails."""
    _set_aside_former(folder)
    try:
        group = linux_accounts.group_of(folder)
    except AccountError:  # the system check reports it; no script is started
        place = storage.path(folder)
        return place if place.is_dir() else storage.create(folder)
    return storage.create(folder, group)


def ready(folder: Folder, group: int | None, *, has_former: bool = True) -> None:
    """Give the folder its mode and group before its scripts are used; OSError if it is not safe to use.

    `has_former`: there may be files of a deleted user of this name.
    """
    if has_former:
        _set_aside_former(folder)
    storage.mend(folder, group)


def retire(folder: Folder) -> None:
    """Delete the row of a folder whose user is being deleted; its files are set aside after the commit."""
    former = FormerFolder.objects.create(
        name=folder.name, deleted_at=clock.now(), linux_uid=linux_accounts.uid_of(folder.name)
    )
    audit.record(Action.DELETED, audit.subject(Kind.FOLDER, folder, folder.name))
    transaction.on_commit(partial(_retired, folder, former.pk))
    ssh_files.forget_soon(folder)
    Folder.objects.filter(pk=folder.pk).delete()


@transaction.atomic
def forget(former: FormerFolder) -> None:
    """Delete the line about a deleted user's folder; the files stay where they are."""
    audit.record(
        Action.DELETED,
        audit.subject(Kind.FOLDER, former, former.name),
        [Change("place", former.place, "")],
    )
    FormerFolder.objects.filter(pk=former.pk).delete()


def _retired(folder: Folder, former: int) -> None:
    """Set the files aside, unless a new user of the name was faster. If that fails, the new user's creation does it."""
    try:
        _move(folder, former)
    except OSError:
        log.exception("the script folder of the deleted user %s could not be set aside", folder)


def _set_aside_former(folder: Folder) -> None:
    left = FormerFolder.objects.filter(name=folder.name, is_set_aside=False)
    for former in left.values_list("pk", flat=True):
        _move(folder, former)


@transaction.atomic
def _move(folder: Folder, former: int) -> None:
    row = (
        FormerFolder.objects.select_for_update().filter(pk=former, is_set_aside=False).first()
    )  # the lock: whoever comes second finds it done, and leaves the new folder alone
    if row is None:
        return
    place = storage.set_aside(folder)
    row.place, row.is_set_aside = str(place or ""), True
    row.save(update_fields=["place", "is_set_aside"])
