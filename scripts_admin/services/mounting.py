"""Whose snapshots this server may mount: root's kernel reads what the owner's machines wrote."""

from django.db import transaction

from scripts_admin import permissions
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.models import User
from scripts_admin.services import audit

LABEL = "snapshots may be mounted"


def allow(owner: User, *, on: bool) -> bool:
    """Allow or forbid to mount the owner's snapshots; tell whether that changed anything.

    The caller has made sure that a superuser wants it. Images that are open stay open until their end.
    """
    with transaction.atomic():
        User.objects.select_for_update().get(pk=owner.pk)
        before = permissions.may_open_snapshots(owner)
        permissions.let_open_snapshots(owner, on=on)
        after = permissions.may_open_snapshots(owner)
        if before == after:
            return False
        change = Change(LABEL, *("yes" if each else "no" for each in (before, after)))
        audit.record(Action.CHANGED, audit.subject(Kind.USER, owner, owner.username), [change])
    return True
