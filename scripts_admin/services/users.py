"""Users: made with their folder, never renamed, deleted only when nothing is theirs any more."""

from pathlib import Path

from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator, validate_email
from django.db import transaction
from django.db.models import ProtectedError

from scripts_admin import linux_accounts
from scripts_admin.folders import storage
from scripts_admin.models import Folder, User
from scripts_admin.services import folders

_EMAIL_CHARACTERS = 254  # RFC 3696


class UserInUseError(Exception):
    """The user cannot be deleted; the text is one sentence for people."""


def check(user: User) -> None:
    """Raise ValidationError, by field, where the user cannot be saved as they are."""
    wrong: dict[str, str] = {}
    before = User.objects.filter(pk=user.pk).first() if user.pk else None
    if before is None:
        try:
            folders.check_user_name(user.username)
        except folders.UserNameError as error:
            wrong["username"] = str(error)
        else:
            if User.objects.filter(username=user.username).exists():
                wrong["username"] = f"There is a user {user.username} already: choose another name."
    elif before.username != user.username:
        wrong["username"] = (
            f"The user {before.username} cannot be renamed, as folder and files go by that name: "
            "make another user."
        )
    if user.email:
        try:
            validate_email(user.email)
            MaxLengthValidator(_EMAIL_CHARACTERS)(user.email)
        except ValidationError:
            wrong["email"] = "This is no e-mail address: write one such as name@example.org."
    if wrong:
        raise ValidationError(wrong)


@transaction.atomic
def enter(user: User) -> Folder:
    """Save the user and the row of their folder; return that. ValidationError, and nothing saved."""
    check(user)
    user.save()
    return folders.of(user)


def make_folder(folder: Folder) -> Path:
    """Make the folder on disk where it is missing; ValidationError where that cannot be."""
    try:
        return storage.create(folder, linux_accounts.group_of(folder))
    except OSError as error:
        raise ValidationError(
            f"The script folder {storage.path(folder)} cannot be made ({error.strerror}): "
            "correct the permissions of N2W_SCRIPTS_ROOT. Nothing was saved."
        ) from error


@transaction.atomic
def save(user: User) -> None:
    """Save the user with their folder, row and disk; ValidationError, and nothing saved."""
    make_folder(enter(user))


def why_not_deleted(user: User) -> str:
    """Return a sentence where the user cannot be deleted, or nothing; nothing is changed."""
    try:
        with transaction.atomic():
            _delete(user)
            transaction.set_rollback(True)
    except UserInUseError as error:
        return str(error)
    return ""


def delete(user: User) -> None:
    """Delete the user and the row of their folder; UserInUseError, and nothing changed.

    Policies and accounts keep their owner, and an unfinished run keeps its policy: so nobody is
    deleted while a run of theirs is unfinished. The files in the folder stay on disk.
    """
    with transaction.atomic():
        _delete(user)


def _delete(user: User) -> None:
    key = user.pk
    try:
        Folder.objects.filter(owner=user).delete()
        User.objects.filter(pk=key).delete()
    except ProtectedError as error:
        names = sorted({f"{kept._meta.verbose_name} {kept}" for kept in error.protected_objects})
        raise UserInUseError(
            f"{user.username} cannot be deleted, as this is theirs: {', '.join(names)}. "
            "Delete that first, or take the user's login away by making them inactive."
        ) from None
