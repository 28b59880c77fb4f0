"""Rows of people and of their script folders."""

from scripts_admin.models.folder import (
    ROOT,
    Folder,
    FolderGroupPermission,
    FolderQuerySet,
    FolderUserPermission,
)
from scripts_admin.models.user import User

__all__ = [
    "ROOT",
    "Folder",
    "FolderGroupPermission",
    "FolderQuerySet",
    "FolderUserPermission",
    "User",
]
