"""What holds a restore point whatever the rules of its policy say, and how one goes.

Whoever writes a row here has locked the row of its run before: so a hold and the beginning of a removal exclude
each other. The order of all locks: runs by their key, then the policy, then the rows of this file, then snapshots.
"""

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
    key = models.CharField(max_length=64, blank=True)  # which recovery, proof or copy has it
    reason = SentenceField()
    until = models.DateTimeField(null=True)
    by = models.CharField(max_length=150)
    created_at = models.DateTimeField()
    released_at = models.DateTimeField(null=True)
    released_by = models.CharField(max_length=150, blank=True)

    class Meta:
        """A restore point has one freezer at a time: who holds it again changes it. Of the others, one for each key."""

        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["run"],
                condition=models.Q(kind=HoldKind.FREEZER.value, released_at=None),
                name="one_freezer_of_a_run",
            ),
            models.UniqueConstraint(
                fields=["run", "kind", "key"],
                condition=models.Q(released_at=None) & ~models.Q(kind=HoldKind.FREEZER.value),
                name="one_hold_of_a_key",
            ),
        ]
        indexes = [
            models.Index(fields=["run"], name="hold_of_run"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.run_id}"


class Removal(models.Model):
    """A restore point that goes: announced, then begun (the intent), then ended.

    Until it has begun, it may be withdrawn without a trace. From then on nobody can hold the restore point, and its
    snapshots are `deleting`, until they are `deleted` or the removal is withdrawn.
    """

    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="removal")
    why = SentenceField()
    by = models.CharField(max_length=150, blank=True)  # the person who asked; empty: the rules
    announced_at = models.DateTimeField()
    goes_after = models.DateTimeField()
    begun_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    next_at = models.DateTimeField(null=True)  # after a problem: not to be tried before
    problem = SentenceField(blank=True)

    class Meta:
        ordering = ["pk"]
        indexes = [
            # What is to be done, in the order in which it is due.
            models.Index(
                fields=["goes_after"],
                condition=models.Q(ended_at=None),
                name="removal_not_ended",
            ),
        ]

    def __str__(self) -> str:
        return f"removal of {self.run_id}"
