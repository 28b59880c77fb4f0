"""Recoveries: what was asked for, the steps and what they made, and the history."""

import uuid

from django.conf import settings
from django.db import models

from n2wbackup.lib.sentences import SentenceField
from policies.domain.recovery import states
from policies.domain.recovery.steps import Deed, StepState
from policies.models.account import Account
from policies.models.policy import Policy
from policies.models.querysets import OwnedQuerySet
from policies.models.run import Run

_KINDS = [(each.value, each.value.replace("_", " ")) for each in states.Kind]
_STATES = [(each.value, each.value) for each in states.State]
_ENDINGS = [(each.value, each.value) for each in sorted(states.ENDINGS)]
_DEEDS = [(each.value, each.value) for each in Deed]
_STEP_STATES = [(each.value, each.value) for each in StepState]


class Recovery(models.Model):
    """One recovery from a restore point. It outlives run, policy, owner and account, as a run does.

    Whoever works on it has claimed it: `claim` is theirs until `next_at`. From then on anybody may go on with it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Each of the first three begins an index below.
    run = models.ForeignKey(
        Run, on_delete=models.SET_NULL, null=True, related_name="recoveries", db_index=False
    )
    policy = models.ForeignKey(
        Policy, on_delete=models.SET_NULL, null=True, related_name="recoveries", db_index=False
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="recoveries",
        db_index=False,
    )
    account = models.ForeignKey(
        Account, on_delete=models.SET_NULL, null=True, related_name="recoveries"
    )
    run_id_copied = models.UUIDField()
    policy_name = models.CharField(max_length=64)
    owner_name = models.CharField(max_length=31)
    account_name = models.CharField(max_length=64)
    point_at = models.DateTimeField(null=True)  # the moment that is restored
    region = models.CharField(max_length=32)
    kind = models.CharField(max_length=16, choices=_KINDS)
    subject = models.CharField(max_length=64)  # the volume or instance of the restore point
    choices = models.JSONField(default=dict)  # what the person chose, as `Choices` has it
    requested_by = models.CharField(max_length=150)

    state = models.CharField(max_length=16, choices=_STATES, default=states.State.QUEUED)
    # Set while it is taken back: what it becomes then. See domain/recovery/states.py.
    ending = models.CharField(max_length=16, choices=_ENDINGS, blank=True)
    reason = SentenceField(blank=True)
    waiting_for = SentenceField(blank=True)  # why it does not go on right now
    asked_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    made_at = models.DateTimeField(null=True)  # from then on it can be used
    full_speed_at = models.DateTimeField(
        null=True
    )  # of the slowest volume, as far as anybody knows
    ended_at = models.DateTimeField(null=True)
    cancelled_by = models.CharField(max_length=150, blank=True)
    undone_by = models.CharField(max_length=150, blank=True)
    next_at = models.DateTimeField()
    claim = models.UUIDField(null=True)
    tries = models.PositiveIntegerField(default=0)  # in a row, without getting further
    trouble_since = models.DateTimeField(null=True)

    objects = OwnedQuerySet["Recovery"].as_manager()

    class Meta:
        """The ticks look for what is due; pages for the newest of all, of an owner, of a policy, of a run."""

        ordering = ["-asked_at"]
        verbose_name_plural = "recoveries"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=[s.value for s in states.State]),
                name="recovery_state_is_known",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=sorted(states.UNFINISHED), ended_at=None)
                | models.Q(state__in=sorted(states.ENDS), ended_at__isnull=False),
                name="recovery_has_ended_when_its_state_says_so",
            ),
        ]
        indexes = [
            models.Index(fields=["-asked_at"], name="recovery_newest"),
            models.Index(fields=["owner", "-asked_at"], name="recovery_of_owner"),
            models.Index(fields=["policy", "-asked_at"], name="recovery_of_policy"),
            models.Index(fields=["run", "-asked_at"], name="recovery_of_run"),
            models.Index(
                fields=["next_at"], condition=models.Q(ended_at=None), name="recovery_due"
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def label(self) -> str:
        """Return "owner/policy" as they were called when it was asked for."""
        return f"{self.owner_name}/{self.policy_name}"

    @property
    def source(self) -> str:
        """Return the place of the copy that it is made from; "" for the snapshots themselves."""
        return str(self.choices.get("source", ""))


class RecoveryStep(models.Model):
    """One step: entered before anything is said to AWS, so that whoever comes later knows where to look."""

    recovery = models.ForeignKey(Recovery, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField()
    deed = models.CharField(max_length=24, choices=_DEEDS)
    params = models.JSONField(default=dict)
    takes_back = models.BooleanField(default=False)
    state = models.CharField(max_length=8, choices=_STEP_STATES, default=StepState.PLANNED)
    resource = models.CharField(max_length=64, blank=True)  # what it made
    told = models.JSONField(default=dict)  # what AWS said that a later look needs
    problem = SentenceField(blank=True)
    begun_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        """Positions count on through the steps that take back."""

        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["recovery", "position"], name="one_step_of_a_position")
        ]

    def __str__(self) -> str:
        return f"{self.position} {self.deed}"


class RecoveryResource(models.Model):
    """Something that a recovery has made in AWS."""

    class Fate(models.TextChoices):
        """What became of it, as far as this server did it or saw it."""

        MADE = "made"
        DELETED = "deleted"
        GONE = "gone"  # somebody else deleted it

    recovery = models.ForeignKey(Recovery, on_delete=models.CASCADE, related_name="resources")
    resource_id = models.CharField(max_length=64)
    from_snapshot = models.CharField(max_length=32, blank=True)
    device = models.CharField(max_length=64, blank=True)
    fate = models.CharField(max_length=8, choices=Fate.choices, default=Fate.MADE)
    made_at = models.DateTimeField()
    progress = models.PositiveSmallIntegerField(
        null=True
    )  # how much AWS has loaded; None: not said
    full_speed_at = models.DateTimeField(null=True)

    class Meta:
        """A resource is entered once, however often its step was begun."""

        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["recovery", "resource_id"], name="one_row_of_a_made_resource"
            )
        ]

    def __str__(self) -> str:
        return self.resource_id


class RecoveryEvent(models.Model):
    """The history of a recovery; nothing is ever changed in it."""

    recovery = models.ForeignKey(Recovery, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=_STATES)
    text = SentenceField()

    class Meta:
        """Pages read it in its order."""

        ordering = ["pk"]

    def __str__(self) -> str:
        return self.text
