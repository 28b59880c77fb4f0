"""Who may use which folder: the only module that speaks with guardian."""

from typing import TYPE_CHECKING

from guardian.shortcuts import assign_perm, get_objects_for_user

if TYPE_CHECKING:
    from scripts_admin.models import Folder, FolderQuerySet, User

_USE = "use_folder"


def grant(user: "User", folder: "Folder") -> None:
    """Let the user run and change the scripts of the folder."""
    assign_perm(f"scripts_admin.{_USE}", user, folder)


def may_use(user: "User", folder: "Folder") -> bool:
    """Tell whether the user may run the scripts of the folder; superusers share root's and may use all."""
    return user.is_active and user.has_perm(f"scripts_admin.{_USE}", folder)


def visible_folders(folders: "FolderQuerySet", user: "User") -> "FolderQuerySet":
    """Return those of the folders that the user may use."""
    if not user.is_active:
        return folders.none()
    return folders.filter(pk__in=get_objects_for_user(user, _USE, klass=folders))
