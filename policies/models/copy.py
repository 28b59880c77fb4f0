"""Copies of snapshots in another region or another account: by which rule, and what became of each."""

import uuid

from django.db import models
from django.db.models.functions import Coalesce

from n2wbackup.lib import terminal
from n2wbackup.lib.sentences import SentenceField
from policies.domain.copies.states import CopyState
from policies.domain.retention.rules import Rules
from policies.models.account import Account
from policies.models.policy import Policy
from policies.models.run import Run, RunSnapshot

_STATES = [(state.value, state.value) for state in CopyState]


class CopyRule(models.Model):
    """Where the snapshots of a policy are copied to, after each run, and how long the copies are kept."""

    policy = models.ForeignKey(
        Policy, on_delete=models.CASCADE, related_name="copy_rules", db_index=False
    )
    region = models.CharField(max_length=32)
    # None: the account of the policy.
    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, null=True, blank=True, related_name="copy_rules"
    )
    kms_key = models.CharField("KMS key", max_length=2048, blank=True)
    completion_minutes = models.PositiveIntegerField(default=0)  # 0: AWS takes its time
    # As the policy's own rules, in its time zone; all 0: every copy is kept.
    keep_last = models.PositiveIntegerField(default=0)
    keep_daily = models.PositiveIntegerField(default=0)
    keep_weekly = models.PositiveIntegerField(default=0)
    keep_monthly = models.PositiveIntegerField(default=0)
    keep_yearly = models.PositiveIntegerField(default=0)
    keep_generations = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
    seen_until = models.DateTimeField()  # the end of the last run whose copies were planned

    class Meta:
        """One rule for each place."""

        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                "policy",
                "region",
                Coalesce("account", 0),  # databases take no NULL for equal to another one
                name="one_copy_rule_of_a_place",
            ),
        ]

    def __str__(self) -> str:
        place = f"{self.account}, {self.region}" if self.account else self.region
        return terminal.line(place)

    @property
    def rules(self) -> Rules:
        """How many copies are kept."""
        return Rules(
            keep_last=self.keep_last,
            daily=self.keep_daily,
            weekly=self.keep_weekly,
            monthly=self.keep_monthly,
            yearly=self.keep_yearly,
            generations=self.keep_generations,
            timezone=self.policy.retention_timezone,
        )


class Copy(models.Model):
    """One copy of one snapshot. Its snapshot in AWS bears this row's id as a tag, from its first moment."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="copies", db_index=False)
    source = models.ForeignKey(
        RunSnapshot, on_delete=models.CASCADE, related_name="copies", db_index=False
    )
    # None: the rule was deleted, or the copy was found by its tags.
    rule = models.ForeignKey(
        CopyRule, on_delete=models.SET_NULL, null=True, related_name="copies", db_index=False
    )
    # Where the copy is: the account whose credentials reach it, and its region.
    account = models.ForeignKey(
        Account, on_delete=models.SET_NULL, null=True, related_name="copies", db_index=False
    )
    region = models.CharField(max_length=32)
    kms_key = models.CharField(max_length=2048, blank=True)
    completion_minutes = models.PositiveIntegerField(default=0)

    state = models.CharField(max_length=16, choices=_STATES, default=CopyState.PLANNED)
    snapshot_id = models.CharField(max_length=32, blank=True)
    progress = models.PositiveSmallIntegerField(default=0)
    message = SentenceField(blank=True)
    attempts = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
    next_at = models.DateTimeField(null=True)  # not to be worked on before
    asked_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)
    # Announced: its rule lets it go, not before then; of a completed one.
    goes_after = models.DateTimeField(null=True)
    goes_why = SentenceField(blank=True)
    absent_since = models.DateTimeField(null=True)  # AWS did not list it
    # The number of the AWS account with which the source is shared for this copy.
    shared_with = models.CharField(max_length=12, blank=True)
    late_told_at = models.DateTimeField(null=True)  # an alarm said that AWS did not keep the time

    class Meta:
        """Each tick looks for those under way and for those that are being deleted."""

        ordering = ["created_at", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=[state.value for state in CopyState]),
                name="copy_state_is_known",
            ),
            models.CheckConstraint(
                condition=~models.Q(state__in=["pending", "completed", "gone", "deleting"])
                | ~models.Q(snapshot_id=""),
                name="copy_that_is_there_has_a_snapshot",
            ),
            models.UniqueConstraint(fields=["source", "rule"], name="one_copy_by_a_rule"),
            models.UniqueConstraint(
                fields=["snapshot_id"],
                condition=~models.Q(snapshot_id=""),
                name="one_copy_of_a_snapshot_id",
            ),
        ]
        indexes = [
            models.Index(fields=["run"], name="copy_of_run"),
            models.Index(fields=["rule", "-created_at"], name="copy_of_rule"),
            models.Index(fields=["account"], name="copy_of_account"),
            # Whole: SQLite proves no condition on a list of states, and would read all copies.
            models.Index(fields=["state", "next_at"], name="copy_in_state"),
            models.Index(
                fields=["rule"],
                condition=models.Q(goes_after__isnull=False),
                name="copy_announced",
            ),
            models.Index(
                fields=["shared_with"],
                condition=~models.Q(shared_with=""),
                name="copy_shares_its_source",
            ),
        ]

    def __str__(self) -> str:
        return self.snapshot_id or f"a copy of {self.source}"
