"""Every version of every file of a script folder, and which of them another person has approved."""

from django.conf import settings
from django.db import models

from n2wbackup.lib.sentences import SentenceField
from scripts_admin.domain.texts import Kind
from scripts_admin.models.folder import Folder


class ScriptText(models.Model):
    """The bytes of a text, once for each hash: all versions with the same bytes share the row.

    Only whoever may see a version gets the text: nobody asks for a text by its hash.
    """

    sha256 = models.CharField(max_length=64, primary_key=True)
    content = models.BinaryField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.sha256


class ScriptVersion(models.Model):
    """A file as it was from `at` on. A version never changes; only `is_newest` goes to the next one.

    Without `text`, only name, size and hash are kept: it is a private key, no text, too long, or there was no room.
    """

    class Source(models.TextChoices):
        """How the change came about. SSH: found in the folder, so it was made there."""

        PAGE = "page", "on a page"
        SSH = "ssh", "over SSH"
        COMMAND = "command", "by a command"
        RESTORE = "restore", "restored"

    # `one_newest_version` and `version_of_file` begin with it.
    folder = models.ForeignKey(
        Folder, on_delete=models.CASCADE, related_name="versions", db_index=False
    )
    name = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64, blank=True)  # empty: the file was deleted
    text = models.ForeignKey(ScriptText, on_delete=models.PROTECT, null=True, related_name="+")
    kind = models.CharField(
        max_length=16, choices=[(each.value, each.value) for each in Kind], blank=True
    )
    size = models.PositiveBigIntegerField(default=0)
    mode = models.PositiveIntegerField(default=0)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    author_name = models.CharField(max_length=150, blank=True)  # outlives the user
    source = models.CharField(max_length=16, choices=Source.choices)
    at = models.DateTimeField()
    message = SentenceField(blank=True)
    is_deleted = models.BooleanField(default=False)
    is_newest = models.BooleanField(default=True)

    class Meta:
        """One index for a file's history, one for a look at a folder, one for the age."""

        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["folder", "name"],
                condition=models.Q(is_newest=True),
                name="one_newest_version",
            ),
            models.CheckConstraint(
                condition=models.Q(is_deleted=True, sha256="", text=None)
                | (models.Q(is_deleted=False) & ~models.Q(sha256="")),
                name="a_version_has_a_hash_or_is_a_deletion",
            ),
        ]
        indexes = [
            models.Index(fields=["folder", "name", "-id"], name="version_of_file"),
            models.Index(fields=["folder", "-at"], name="version_of_folder"),
            models.Index(fields=["at"], condition=models.Q(is_newest=False), name="version_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.short}"

    @property
    def short(self) -> str:
        """Return the beginning of the hash, as pages show it."""
        return "deleted" if self.is_deleted else self.sha256[:12]


class ScriptApproval(models.Model):
    """A version that may run in a window where a folder has a second pair of eyes. The newest of a name counts."""

    # `approval_of_file` begins with it.
    folder = models.ForeignKey(
        Folder, on_delete=models.CASCADE, related_name="approvals", db_index=False
    )
    name = models.CharField(max_length=255)
    version = models.ForeignKey(ScriptVersion, on_delete=models.CASCADE, related_name="approvals")
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    person_name = models.CharField(max_length=150)  # outlives the user
    at = models.DateTimeField()
    message = SentenceField(blank=True)
    is_newest = models.BooleanField(default=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["folder", "name"],
                condition=models.Q(is_newest=True),
                name="one_newest_approval",
            ),
        ]
        indexes = [models.Index(fields=["folder", "name", "-id"], name="approval_of_file")]

    def __str__(self) -> str:
        return f"{self.version} by {self.person_name}"
