"""What SSM says of an account's instances, as the last look saw it."""

from django.db import models

from n2wbackup.lib.sentences import SentenceField
from policies.models.account import Account


class SsmPlace(models.Model):
    """A region of an account that somebody wants to be looked at, and what came of the last time."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="ssm_places")
    region = models.CharField(max_length=32)
    # A look claims the place by moving this ahead; only who claimed it writes what it saw.
    next_at = models.DateTimeField()
    # Somebody asked: the look also runs a command on the instances of policies. No other look does.
    is_asked = models.BooleanField(default=False)
    seen_at = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(default=0)
    problem = SentenceField(blank=True)
    probe_problem = SentenceField(blank=True)  # why the folders of agents could not be looked at

    class Meta:
        """A region is looked at once."""

        ordering = ["region"]
        constraints = [
            models.UniqueConstraint(fields=["account", "region"], name="ssm_place_is_one"),
        ]
        indexes = [models.Index(fields=["next_at"], name="ssm_place_due")]

    def __str__(self) -> str:
        return self.region


class SsmInstance(models.Model):
    """One instance of a place: its agent as SSM knows it, its role as IAM does."""

    place = models.ForeignKey(SsmPlace, on_delete=models.CASCADE, related_name="instances")
    instance_id = models.CharField(max_length=32)
    name = SentenceField(blank=True)
    state = models.CharField(max_length=32, blank=True)
    ping = models.CharField(max_length=32, blank=True)  # empty: no agent has ever registered
    pinged_at = models.DateTimeField(null=True)
    platform_type = models.CharField(max_length=32, blank=True)
    platform = SentenceField(blank=True)
    agent_version = models.CharField(max_length=32, blank=True)
    has_profile = models.BooleanField(default=False)
    role = models.CharField(max_length=128, blank=True)
    policies = models.JSONField(default=list)  # the names of the role's managed policies
    role_problem = SentenceField(blank=True)  # why IAM did not tell of the role
    # Where the agent keeps its files: [folder, mount point] each, and when that was seen.
    folders = models.JSONField(default=list)
    folders_at = models.DateTimeField(null=True)
    # What the scripts that are carried there freeze: [file, mount point] each.
    freezes = models.JSONField(default=list)

    class Meta:
        """An instance is known once."""

        ordering = ["instance_id"]
        constraints = [
            models.UniqueConstraint(fields=["place", "instance_id"], name="ssm_instance_is_one"),
        ]

    def __str__(self) -> str:
        return self.instance_id
