"""How large snapshots are, and what the policies' restore points were estimated to cost, day by day."""

from django.db import models

from n2wbackup.lib.sentences import SentenceField
from policies.models.policy import Policy
from policies.models.run import RunSnapshot


class SnapshotSize(models.Model):
    """Blocks of 512 KiB of one snapshot: all that are written, and those that changed since the one before it."""

    snapshot = models.OneToOneField(RunSnapshot, on_delete=models.CASCADE, related_name="size")
    blocks = models.PositiveIntegerField(null=True)
    changed = models.PositiveIntegerField(null=True)
    measured_at = models.DateTimeField()  # or tried
    problem = SentenceField(blank=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.snapshot}: {self.blocks}"


class PolicyCost(models.Model):
    """The estimate of one day: what a month of the policy's restore points and copies costs, kept as they were then."""

    policy = models.ForeignKey(
        Policy, on_delete=models.CASCADE, related_name="costs", db_index=False
    )
    day = models.DateField()
    gib = models.FloatField()
    month = models.FloatField()
    unmeasured = models.PositiveIntegerField(default=0)

    class Meta:
        """One estimate a day; pages ask for the newest of a policy."""

        ordering = ["policy", "day"]
        constraints = [
            models.UniqueConstraint(fields=["policy", "day"], name="one_cost_of_a_day"),
        ]

    def __str__(self) -> str:
        return f"{self.policy_id} on {self.day}"
