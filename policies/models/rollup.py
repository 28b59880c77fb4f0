"""Runs counted by day, so that no page has to count them."""

from django.conf import settings
from django.db import models

from policies.models.policy import Policy


class DailyCount(models.Model):
    """The number of a policy's runs that ended in a state on a day (UTC): one row for policy, day and state.

    `state` is an end state of `sequence.State`. A missed or skipped run counts all due times that it covers. Tests
    are not counted. A day on which nothing ended has no row. The row of a day is written until the day is
    over (by services/closing.py), and deleted with its policy, or by age (N2W_KEEP_COUNTS_DAYS).

    Read it with selectors/calendars.py: it has the days of some policies, and of all that a person may see.
    """

    # `one_count_of_a_day_and_state` begins with it.
    policy = models.ForeignKey(
        Policy, on_delete=models.CASCADE, related_name="daily_counts", db_index=False
    )
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


class DailySum(models.Model):
    """The daily counts of all policies of an owner on a day that is over; without `owner`, of all policies.

    Written once a day, when the day is over: see services/retention/sums.py. So a calendar of ten thousand policies
    is some hundred rows. It outlives the policies, as what they did on that day stays true.
    """

    # `one_sum_of_an_owner` begins with it.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        related_name="+",
        db_index=False,
    )
    day = models.DateField()
    state = models.CharField(max_length=16)
    runs = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "day", "state"], name="one_sum_of_an_owner"),
            models.UniqueConstraint(
                fields=["day", "state"],
                condition=models.Q(owner=None),
                name="one_sum_of_all",
            ),
        ]
        indexes = [models.Index(fields=["day"], name="sum_of_day")]

    def __str__(self) -> str:
        return f"{self.day} {self.state}: {self.runs}"
