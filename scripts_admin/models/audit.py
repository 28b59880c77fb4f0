"""Who did what, when and from where."""

from django.conf import settings
from django.db import models

from n2wbackup.lib.sentences import SentenceField


class AuditEntry(models.Model):
    """One thing that somebody did. It outlives the person and the thing, so it copies their names.

    An entry never changes: only the references become NULL when their rows go.
    """

    at = models.DateTimeField()
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        db_index=False,
    )
    name = models.CharField(max_length=150)  # of the person, or of the Linux account
    source = models.CharField(max_length=16)
    address = models.CharField(max_length=45, blank=True)
    action = models.CharField(max_length=32)
    kind = models.CharField(max_length=32)
    label = models.CharField(max_length=200)
    key = models.CharField(max_length=64, blank=True)  # of the row, as it was
    # Whom the thing belonged to: this user sees the entry, too.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        db_index=False,
    )
    changes = models.JSONField(default=list)  # [field, before, after]
    reason = SentenceField(blank=True)

    class Meta:
        """One index for each way in, by time."""

        default_permissions = ()
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["at", "id"], name="audit_by_age"),
            models.Index(fields=["person", "at", "id"], name="audit_of_person"),
            models.Index(fields=["owner", "at", "id"], name="audit_of_owner"),
            models.Index(fields=["name", "at", "id"], name="audit_by_name"),
            models.Index(fields=["action", "at", "id"], name="audit_by_action"),
            models.Index(fields=["kind", "at", "id"], name="audit_by_kind"),
            models.Index(fields=["label", "at", "id"], name="audit_by_label"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.action} {self.kind} {self.label}"
