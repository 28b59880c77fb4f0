"""Users: created with their folder, never renamed, deleted only when they no longer own anything."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from django.contrib.auth.models import Group, Permission
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator, validate_email
from django.db import transaction
from django.db.models import ProtectedError, QuerySet

from scripts_admin import permissions
from scripts_admin.domain import audit as words
from scripts_admin.domain.audit import SECRET, Action, Change, Kind
from scripts_admin.folders import storage
from scripts_admin.models import Folder, User
from scripts_admin.services import audit, folders, sharing, ssh_logins

_EMAIL_CHARACTERS = 254  # RFC 3696
# What the audit shows of a user: the words, and the columns.
_SHOWN = {
    "email": "email",
    "first name": "first_name",
    "last name": "last_name",
    "active": "is_active",
    "staff": "is_staff",
    "superuser": "is_superuser",
}


class UserInUseError(Exception):
    """The user cannot be deleted; the text says why and what to do."""


def check(user: User) -> None:
    """Raise ValidationError, by field, if the user cannot be saved like this."""
    wrong: dict[str, str] = {}
    before = User.objects.filter(pk=user.pk).first() if user.pk else None
    if before is None:
        try:
            folders.check_user_name(user.username)
        except folders.UserNameError as error:
            wrong["username"] = str(error)
        else:
            if User.objects.filter(username=user.username).exists():
                wrong["username"] = f"A user {user.username} already exists: choose another name."
    elif before.username != user.username:
        wrong["username"] = (
            f"The user {before.username} cannot be renamed, because their folder and files have this name: "
            "create a new user."
        )
    if user.email:
        try:
            validate_email(user.email)
            MaxLengthValidator(_EMAIL_CHARACTERS)(user.email)
        except ValidationError:
            wrong["email"] = "This is not an e-mail address: write it like name@example.org."
    if wrong:
        raise ValidationError(wrong)


@transaction.atomic
def enter(user: User) -> Folder:
    """Save the user and the row of their folder; return the folder. On ValidationError nothing is saved.

    What others share with a user ends when the user becomes inactive: it does not come back by itself.
    """
    check(user)
    before = User.objects.filter(pk=user.pk).first() if user.pk else None
    user.save()
    _enter(user, before)
    if not user.is_active:
        sharing.end_all(user)
    ssh_logins.follow_soon()
    return folders.of(user)


def _enter(user: User, before: User | None) -> None:
    changes = words.difference(_facts(before) if before else {}, _facts(user))
    if (before.password if before else "") != user.password and user.has_usable_password():
        changes.append(Change("password", "", SECRET))
    elif before is not None and before.password != user.password:
        changes.append(Change("password", SECRET, ""))
    if before is None or changes:
        action = Action.CHANGED if before else Action.CREATED
        audit.record(action, audit.of_user(user), changes)


def _facts(user: User) -> dict[str, object]:
    return {name: getattr(user, column) for name, column in _SHOWN.items()}


@transaction.atomic
def change_password(user: User) -> None:
    """Save the password that the form has set on the user."""
    before = User.objects.get(pk=user.pk)
    user.save(update_fields=["password"])
    _enter(user, before)


@contextmanager
def rights_changed(whose: User | Group) -> Iterator[None]:
    """Enter what the block changes in a user's groups and permissions, or in a group's permissions."""
    with transaction.atomic():
        before = _rights(whose)
        yield
        changes = words.difference(before, _rights(whose))
        if changes and isinstance(whose, User):
            audit.record(Action.CHANGED, audit.of_user(whose), changes)
        elif changes:
            audit.record(Action.CHANGED, audit.subject(Kind.GROUP, whose, str(whose)), changes)


def _rights(whose: User | Group) -> dict[str, object]:
    if isinstance(whose, Group):
        return {"rights": _names(whose.permissions.all())}
    groups = whose.groups.order_by("name").values_list("name", flat=True)
    return {"groups": list(groups), "rights": _names(whose.user_permissions.all())}


def _names(rows: QuerySet[Permission]) -> list[str]:
    pairs = rows.order_by("content_type__app_label", "codename")
    return [
        f"{app}.{name}" for app, name in pairs.values_list("content_type__app_label", "codename")
    ]


@transaction.atomic
def save_group(group: Group) -> None:
    """Save a group; its permissions are saved by whoever is within `rights_changed`."""
    before = Group.objects.filter(pk=group.pk).first() if group.pk else None
    group.save()
    changes = words.difference({"name": before.name} if before else {}, {"name": group.name})
    if changes:
        action = Action.CHANGED if before else Action.CREATED
        audit.record(action, audit.subject(Kind.GROUP, group, group.name), changes)


@transaction.atomic
def delete_group(group: Group) -> None:
    """Delete a group; its users lose the permissions that they had through it, and what was shared with it."""
    sharing.end_all(group)
    changes = words.difference(_rights(group), {})
    audit.record(Action.DELETED, audit.subject(Kind.GROUP, group, group.name), changes)
    Group.objects.filter(pk=group.pk).delete()


@transaction.atomic
def give_server_role(user: User, *, given: bool) -> None:
    """Give the user the permission to use the server's own AWS role, or remove it."""
    with rights_changed(user):
        permissions.set_server_role(user, given=given)


def make_folder(folder: Folder) -> Path:
    """Create the folder on disk if it is missing; ValidationError if this fails."""
    try:
        return folders.on_disk(folder)
    except OSError as error:
        raise ValidationError(
            f"The script folder {storage.path(folder)} cannot be created ({error.strerror}): "
            "correct the permissions of N2W_SCRIPTS_ROOT. Nothing was saved."
        ) from error


@transaction.atomic
def save(user: User) -> None:
    """Save the user and their folder, in the database and on disk; on ValidationError nothing is saved.

    The sessions of a user who is inactive end: without this, they would go on when the user is active again.
    """
    make_folder(enter(user))
    if not user.is_active:
        # Late: processes without pages have no table of who is logged in.
        import_module("scripts_admin.services.sessions").end_all(user)


@transaction.atomic
def set_password(user: User, password: str) -> None:
    """Set the password. All sessions of the user end, but one that takes over the new password's hash."""
    user.set_password(password)
    change_password(user)


def why_not_deleted(user: User) -> str:
    """Return a sentence if the user cannot be deleted, else ""; nothing is changed."""
    try:
        with transaction.atomic():
            _delete(user)
            transaction.set_rollback(True)
    except UserInUseError as error:
        return str(error)
    return ""


def delete(user: User) -> None:
    """Delete the user and the row of their folder; on UserInUseError nothing is changed.

    Policies and accounts protect their owner from deletion, and an unfinished run protects its policy: so a
    user with an unfinished run cannot be deleted. The files in the folder are set aside: nobody inherits them.
    """
    with transaction.atomic():
        _delete(user)


def _delete(user: User) -> None:
    key = user.pk
    sharing.end_all(user)
    audit.record(Action.DELETED, audit.of_user(user))  # before: then its references become NULL
    try:
        for folder in Folder.objects.filter(owner=user):
            folders.retire(folder)
        User.objects.filter(pk=key).delete()
        ssh_logins.follow_soon()
    except ProtectedError as error:
        names = sorted({f"{kept._meta.verbose_name} {kept}" for kept in error.protected_objects})
        raise UserInUseError(
            f"{user.username} cannot be deleted, because they still own: {', '.join(names)}. "
            "Delete these first, or make the user inactive so that they can no longer log in."
        ) from None
