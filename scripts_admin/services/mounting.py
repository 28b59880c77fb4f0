"""Whose snapshots this server may mount: root's kernel reads what the owner's machines wrote."""

from django.db import transaction

from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.models import Folder, User
from scripts_admin.services import audit

LABEL = "snapshots may be mounted"


def allow(folder: Folder, *, on: bool, person: User | None = None) -> bool:
    """Allow or forbid to mount the snapshots of the folder's owner; tell whether that changed anything.

    The caller has made sure that a superuser wants it. Images that are open stay open until their end.
    """
    with transaction.atomic():
        row = Folder.objects.select_for_update().get(pk=folder.pk)
        folder.may_mount = on
        if row.may_mount == on:
            return False
        Folder.objects.filter(pk=folder.pk).update(may_mount=on)
        change = Change(LABEL, *(("no", "yes") if on else ("yes", "no")))
        subject = audit.subject(Kind.FOLDER, folder, folder.name)
        audit.record(Action.CHANGED, subject, [change], person=person)
    return True


def why_not(folder: Folder) -> str:
    """Return why the snapshots of the folder's owner may not be mounted, and what to do; "" if they may."""
    if folder.may_mount:
        return ""
    return (
        f"This server may not mount the snapshots of {folder.name}: a superuser allows it with "
        f"`n2w allow_mounting {folder.name}`, or on the admin page of folders."
    )
