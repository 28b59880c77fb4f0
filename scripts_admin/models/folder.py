"""Script folders, and the grants on them."""

from django.db import models
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from scripts_admin import permissions
from scripts_admin.models.user import User

ROOT = "root"


class FolderQuerySet(models.QuerySet["Folder"]):
    """Folders, as a person may see them."""

    def visible_to(self, user: User) -> "FolderQuerySet":
        """Return the folders that the user may see."""
        return permissions.visible(self, user)


class Folder(models.Model):
    """Where scripts lie: root's folder, which superusers share, or one user's.

    A policy points to a folder row; the row, not the person who pressed the button, says which scripts run.
    """

    name = models.CharField(max_length=31, unique=True)
    owner = models.OneToOneField(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="folder"
    )

    objects = FolderQuerySet.as_manager()

    class Meta:
        """What guardian may grant on a folder."""

        permissions = [("use_folder", "May run the scripts of this folder")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(owner=None, name=ROOT)
                | (models.Q(owner__isnull=False) & ~models.Q(name=ROOT)),
                name="only_roots_folder_has_no_owner",
            ),
        ]

    def __str__(self) -> str:
        """Return the folder's name."""
        return self.name

    @property
    def is_root(self) -> bool:
        """Tell whether this is the folder that superusers share."""
        return self.owner_id is None


class FolderUserPermission(UserObjectPermissionBase):
    """Guardian's grants to users, with a real foreign key."""

    content_object = models.ForeignKey(Folder, on_delete=models.CASCADE)


class FolderGroupPermission(GroupObjectPermissionBase):
    """Guardian's grants to groups, with a real foreign key."""

    content_object = models.ForeignKey(Folder, on_delete=models.CASCADE)
