"""Trials of a policy's instances: whether each thaws by itself, and whether this server can log in."""

import uuid

from django.db import models

from n2wbackup.lib.sentences import SentenceField
from policies.domain import trials
from policies.models.policy import Policy

_KINDS = [(each.value, each.value) for each in trials.Kind]
_STATES = [(each.value, each.value) for each in trials.State]
_VERDICTS = [(each.value, each.value.replace("_", " ")) for each in trials.Verdict]


class Trial(models.Model):
    """One trial of all instances of a policy. It holds no lease and is no run: a backup never waits for it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    policy = models.ForeignKey(
        Policy, on_delete=models.CASCADE, related_name="trials", db_index=False
    )
    kind = models.CharField(max_length=8, choices=_KINDS)
    state = models.CharField(max_length=8, choices=_STATES, default=trials.State.QUEUED)
    requested_by = models.CharField(max_length=150, blank=True)  # empty: the monthly drill
    asked_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    # Queued: a worker may take it from then on. Working: from then on, its worker counts as dead.
    next_at = models.DateTimeField()
    tries = models.PositiveSmallIntegerField(default=0)
    waiting_for = SentenceField(blank=True)  # why it has not begun

    class Meta:
        """The database forbids two unfinished trials of one kind and policy."""

        ordering = ["-asked_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["policy", "kind"],
                condition=models.Q(ended_at=None),
                name="one_unfinished_trial",
            ),
        ]
        indexes = [
            models.Index(fields=["policy", "kind", "-asked_at"], name="trial_of_policy"),
            models.Index(fields=["next_at"], condition=models.Q(ended_at=None), name="trial_due"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class TrialResult(models.Model):
    """What a trial found on one instance."""

    trial = models.ForeignKey(Trial, on_delete=models.CASCADE, related_name="results")
    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="+", db_index=False)
    kind = models.CharField(max_length=8, choices=_KINDS)
    instance_id = models.CharField(max_length=32)
    region = models.CharField(max_length=32)
    verdict = models.CharField(max_length=16, choices=_VERDICTS)
    thaw_by = models.CharField(max_length=16, blank=True)  # of a drill: who began the thaw
    key = models.CharField(max_length=16, blank=True)  # of a login: the kind of key that works
    sentence = SentenceField()
    at = models.DateTimeField()

    class Meta:
        """Pages ask for the newest of each instance."""

        ordering = ["instance_id", "pk"]
        indexes = [
            models.Index(fields=["policy", "instance_id", "kind", "-id"], name="trial_of_instance"),
        ]

    def __str__(self) -> str:
        return f"{self.instance_id}: {self.verdict}"
