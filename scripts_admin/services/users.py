"""Users: created with their folder, never renamed, deleted only when they no longer own anything."""

from pathlib import Path

from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator, validate_email
from django.db import transaction
from django.db.models import ProtectedError

from scripts_admin.folders import storage
from scripts_admin.models import Folder, User
from scripts_admin.services import folders

_EMAIL_CHARACTERS = 254  # RFC 3696


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
    """Save the user and the row of their folder; return the folder. On ValidationError nothing is saved."""
    check(user)
    user.save()
    return folders.of(user)


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
    """Save the user and their folder, in the database and on disk; on ValidationError nothing is saved."""
    make_folder(enter(user))


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
    try:
        for folder in Folder.objects.filter(owner=user):
            folders.retire(folder)
        User.objects.filter(pk=key).delete()
    except ProtectedError as error:
        names = sorted({f"{kept._meta.verbose_name} {kept}" for kept in error.protected_objects})
        raise UserInUseError(
            f"{user.username} cannot be deleted, because they still own: {', '.join(names)}. "
            "Delete these first, or make the user inactive so that they can no longer log in."
        ) from None
