"""Script folders, and the permissions granted on them."""

from django.db import models
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from scripts_admin import permissions
from scripts_admin.models.user import User

ROOT = "root"


class FolderQuerySet(models.QuerySet["Folder"]):
    """Folders, limited to those that a user may see."""

    def visible_to(self, user: User) -> "FolderQuerySet":
        return permissions.visible(self, user)


class Folder(models.Model):
    """A folder of scripts: root's, which superusers share, or one user's.

    A policy points to a folder row. This row decides which scripts run, not the person who starts the run.
    """

    name = models.CharField(max_length=31, unique=True)
    owner = models.OneToOneField(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="folder"
    )
    # Second pair of eyes: in a window runs what another person has approved, and nothing else.
    needs_approval = models.BooleanField("second pair of eyes", default=False)

    objects = FolderQuerySet.as_manager()

    class Meta:
        permissions = [
            ("see_folder", "May see the scripts of this folder"),
            ("edit_folder", "May edit the scripts of this folder"),
            ("run_folder", "May run the scripts of this folder"),
            ("approve_hosts_folder", "May approve the hosts of this folder"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(owner=None, name=ROOT)
                | (models.Q(owner__isnull=False) & ~models.Q(name=ROOT)),
                name="only_roots_folder_has_no_owner",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_root(self) -> bool:
        """Tell whether this is the folder that superusers share."""
        return self.owner_id is None


class FormerFolder(models.Model):
    """What a deleted user left under a name. Whoever gets the name later is somebody else."""

    name = models.CharField(max_length=31, db_index=True)
    deleted_at = models.DateTimeField()
    is_set_aside = models.BooleanField("set aside", default=False)
    place = models.CharField("files", max_length=4096, blank=True)  # empty: nothing was left
    # The Linux account of this name at that time: its home may still hold the user's files and keys.
    linux_uid = models.BigIntegerField("Linux uid", null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class FolderUserPermission(UserObjectPermissionBase):
    """Guardian's permissions of users, with a real foreign key."""

    content_object = models.ForeignKey(Folder, on_delete=models.CASCADE)


class FolderGroupPermission(GroupObjectPermissionBase):
    """Guardian's permissions of groups, with a real foreign key."""

    content_object = models.ForeignKey(Folder, on_delete=models.CASCADE)
