"""What holds a restore point, whatever the rules of its policy say."""

from django.db import models

from n2wbackup.lib.sentences import SentenceField
from policies.domain.retention.points import HoldKind
from policies.models.run import Run

_KINDS = [(kind.value, kind.value) for kind in HoldKind]


class Hold(models.Model):
    """It holds from `created_at` until `until` (None: without an end), unless it was released before.

    A hold that is over stays, so that the page of a run tells who held it and who released it.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="holds", db_index=False)
    kind = models.CharField(max_length=16, choices=_KINDS)
    reason = SentenceField()
    until = models.DateTimeField(null=True)
    by = models.CharField(max_length=150)
    created_at = models.DateTimeField()
    released_at = models.DateTimeField(null=True)
    released_by = models.CharField(max_length=150, blank=True)

    class Meta:
        """A restore point has one freezer at a time: who holds it again changes it."""

        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["run"],
                condition=models.Q(kind=HoldKind.FREEZER.value, released_at=None),
                name="one_freezer_of_a_run",
            ),
        ]
        indexes = [
            models.Index(fields=["run"], name="hold_of_run"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.run_id}"
