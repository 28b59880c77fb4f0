"""Runs counted by day, so that no page has to count them."""

from django.db import models

from policies.models.policy import Policy


class DailyCount(models.Model):
    """The number of a policy's runs that ended in a state on a day (UTC)."""

    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="daily_counts")
    day = models.DateField()
    state = models.CharField(max_length=16)
    runs = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["policy", "day", "state"], name="one_count_of_a_day_and_state"
            ),
        ]
        indexes = [models.Index(fields=["day"], name="count_of_day")]

    def __str__(self) -> str:
        return f"{self.day} {self.state}: {self.runs}"
