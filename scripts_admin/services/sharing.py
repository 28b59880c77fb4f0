"""Folders and policies shared with people and groups. Rights end with the row, the person or the group."""

from collections.abc import Collection, Iterable

from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Model

from scripts_admin import permissions
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.domain.rights import Right
from scripts_admin.models import User
from scripts_admin.permissions import Whom
from scripts_admin.services import audit
from scripts_admin.services.audit import Subject


class SharingError(Exception):
    """It cannot be shared like this; the text is a sentence for the user."""


def person(name: str) -> User:
    """Return the person of this name, who may be given rights; SharingError if there is none."""
    found = User.objects.filter(username=name, is_active=True).first()
    if found is None:
        raise SharingError(f"There is no person {name!r} who can log in: check the name.")
    return found


def group(name: str) -> Group:
    """Return the group of this name; SharingError if there is none."""
    found = Group.objects.filter(name=name).first()
    if found is None:
        raise SharingError(
            f"There is no group {name!r}: check the name, or ask a superuser for it."
        )
    return found


@transaction.atomic
def share(row: Model, whom: Whom, rights: Collection[Right], *, by: User | None = None) -> bool:
    """Let the person or the group do exactly this with the row; False if it was so before. No rights: nothing.

    SharingError, and nothing changed, for the owner, who may do everything. `by`: None leaves it to the edge.
    """
    if isinstance(whom, User) and getattr(row, "owner_id", None) == whom.pk:
        raise SharingError(f"{whom} owns this, and may do everything: share it with somebody else.")
    unknown = [right for right in rights if right not in permissions.grantable(row)]
    if unknown:
        raise SharingError(
            f"The right to {unknown[0]} can be given on policies only: grant it there."
        )
    before = permissions.held_by(whom, row)
    permissions.grant(whom, row, rights)
    after = permissions.held_by(whom, row)
    if before == after:
        return False
    action = Action.SHARED if after else Action.UNSHARED
    change = Change("shared with", _words(whom, before), _words(whom, after))
    audit.record(action, _subject(row), [change], person=by)
    return True


@transaction.atomic
def replace(row: Model, wanted: Iterable[tuple[Whom, Collection[Right]]]) -> bool:
    """Share the row with these and nobody else; False if nothing had to change."""
    rights = dict(wanted)
    gone = [each.whom for each in permissions.shares(row) if each.whom not in rights]
    changed = [share(row, whom, ()) for whom in gone]
    changed += [share(row, whom, given) for whom, given in rights.items()]
    return any(changed)


@transaction.atomic
def end_all(whom: Whom) -> int:
    """Take from the person or the group all that is shared with them; each owner finds it in the audit."""
    rows = permissions.shared_with(whom)
    for row, _ in rows:
        share(row, whom, ())
    return len(rows)


def named(whom: Whom) -> str:
    """Return who it is: a person and a group may have the same name."""
    return f"group {whom.name}" if isinstance(whom, Group) else whom.get_username()


def _words(whom: Whom, rights: Collection[Right]) -> str:
    return f"{named(whom)}: {', '.join(rights)}" if rights else ""


def _subject(row: Model) -> Subject:
    return audit.subject(Kind(str(row._meta.model_name)), row, str(getattr(row, "label", row)))
