"""A run with its targets, snapshots and history."""

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.functional import cached_property

from n2wbackup.lib.sentences import SentenceField
from policies.domain.runs import lateness, sequence
from policies.domain.runs.trigger import Trigger
from policies.domain.runs.verdict import Consistency
from policies.models.account import Account
from policies.models.policy import Policy
from policies.models.querysets import RunQuerySet

_STATES = [(state.value, state.value) for state in sequence.State]
_CONSISTENCIES = [(c.value, c.value) for c in Consistency]
_TRIGGERS = [(trigger.value, trigger.value.capitalize()) for trigger in Trigger]
_UNFINISHED = sorted(sequence.UNFINISHED)
_ENDS = sorted(sequence.ENDS)


class Run(models.Model):
    """One attempt to back a policy up. It outlives policy, owner and account: their names are copied."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Each of the three begins an index below.
    policy = models.ForeignKey(
        Policy, on_delete=models.SET_NULL, null=True, related_name="runs", db_index=False
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="runs",
        db_index=False,
    )
    account = models.ForeignKey(
        Account, on_delete=models.SET_NULL, null=True, related_name="runs", db_index=False
    )
    policy_name = models.CharField(max_length=64)
    owner_name = models.CharField(max_length=31)
    requested_by = models.CharField(max_length=31, blank=True)
    trigger = models.CharField(max_length=16, choices=_TRIGGERS)
    attempt = models.PositiveIntegerField(default=1)
    scheduled_for = models.DateTimeField(null=True)
    # For a missed or skipped run: how many due times the row covers, and the last of them.
    due_count = models.PositiveIntegerField(default=1)
    due_until = models.DateTimeField(null=True)
    retry_at = models.DateTimeField(null=True)  # when the next attempt is due
    test_phase = models.CharField(max_length=16, blank=True)  # a test runs only this phase
    test_argument = models.CharField(max_length=1, blank=True)

    state = models.CharField(max_length=16, choices=_STATES, default=sequence.State.QUEUED)
    consistency = models.CharField(
        max_length=16, choices=_CONSISTENCIES, default=Consistency.PENDING
    )
    # What the policy required when the run was prepared: application or crash. Empty: it was not prepared.
    success_requires = models.CharField(max_length=16, blank=True)
    reason = SentenceField(blank=True)
    # By phase: why its script cannot run. Known before the window, and part of the reason at the end.
    script_problems = models.JSONField(default=dict, blank=True)
    # By phase, as they were before the window: {"sha256", "version", "mark"}; see window/ran.py.
    prepared_scripts = models.JSONField(default=dict, blank=True)
    # Before may write it into the application, so that a proof finds it; made when the run was prepared.
    mark = models.CharField(max_length=32, blank=True, editable=False)
    # Processes that its scripts left on its server, see services/window/leftovers.py; None: nobody looked.
    left_behind = models.JSONField(null=True, editable=False)
    server = models.CharField(max_length=36, blank=True)  # the server whose spool has the window
    server_gone_at = models.DateTimeField(null=True)  # when people were told that it is gone
    losses = models.PositiveIntegerField(default=0)  # how often its keeper died while preparing

    created_at = models.DateTimeField()
    not_before = models.DateTimeField(null=True)  # queued until then
    waiting_for = SentenceField(blank=True)  # what its history has said that it waits for
    waiting_since = models.DateTimeField(null=True)
    waits_on = models.JSONField(default=dict)  # the resources and volumes that AWS named last
    dispatched_at = models.DateTimeField(null=True)  # last hint to a worker; a hint may get lost
    started_at = models.DateTimeField(null=True)
    spooled_at = models.DateTimeField(null=True)  # written just before the record in the spool
    ordered_at = models.DateTimeField(null=True)  # written just before the window
    fired_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    cancelled_by = models.CharField(max_length=31, blank=True)
    complete_started_at = models.DateTimeField(null=True)

    freeze_seconds = models.FloatField(null=True)
    hold_seconds = models.FloatField(null=True)
    thaw_by = models.CharField(max_length=16, blank=True)  # worker: on request; otherwise automatic
    thaw_attempts = models.PositiveIntegerField(default=0)
    thaw_next_at = models.DateTimeField(null=True)
    thaw_asked_at = models.DateTimeField(null=True)  # a person wants after to be run now
    tags_due = models.BooleanField(default=False)
    restore_point = models.BooleanField(default=False)  # it has a usable snapshot that exists
    gone_at = models.DateTimeField(null=True)  # when a snapshot of it was last found to be gone
    outputs_deleted_at = models.DateTimeField(null=True)  # they were older than N2W_KEEP_DAYS
    events_deleted_at = models.DateTimeField(null=True)

    objects = RunQuerySet["Run"].as_manager()

    class Meta:
        """The database forbids two unfinished runs of a policy, and two runs for the same due time and attempt."""

        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=[s.value for s in sequence.State]),
                name="run_state_is_known",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=_UNFINISHED, ended_at=None)
                | models.Q(state__in=_ENDS, ended_at__isnull=False),
                name="run_has_ended_when_its_state_says_so",
            ),
            models.UniqueConstraint(
                # By the constraint above, the same as: its state is unfinished. Queries ask for this form.
                fields=["policy"],
                condition=models.Q(ended_at=None),
                name="one_unfinished_run_of_a_policy",
            ),
            models.UniqueConstraint(
                fields=["policy", "scheduled_for", "attempt"], name="one_run_of_a_due_time"
            ),
        ]
        indexes = [
            models.Index(fields=["owner", "-created_at"], name="run_of_owner"),
            models.Index(fields=["policy", "-created_at"], name="run_of_policy"),
            models.Index(fields=["account", "-created_at"], name="run_of_account"),
            models.Index(fields=["-created_at"], name="run_newest"),
            models.Index(
                fields=["state"], condition=models.Q(ended_at=None), name="run_unfinished"
            ),
            # For lists of what is rare: among a million runs, the newest cancelled one may be far away. What is
            # usual is soon found by `run_newest`. Each condition stands in RunQuerySet, too.
            models.Index(
                fields=["state", "-created_at"],
                condition=models.Q(ended_at__isnull=False)
                & ~models.Q(state=sequence.State.SUCCEEDED.value),
                name="run_of_rare_state",
            ),
            models.Index(
                fields=["trigger", "-created_at"],
                condition=~models.Q(trigger=Trigger.SCHEDULE.value),
                name="run_of_rare_trigger",
            ),
            models.Index(
                fields=["consistency", "-created_at"],
                condition=~models.Q(consistency=Consistency.APPLICATION.value),
                name="run_of_rare_consistency",
            ),
            models.Index(
                fields=["tags_due"], condition=models.Q(tags_due=True), name="run_tags_due"
            ),
            models.Index(
                fields=["retry_at"],
                condition=models.Q(retry_at__isnull=False),
                name="run_retry_due",
            ),
            # For services/retention: what is old and still there. All ends in `ended_at`.
            models.Index(
                fields=["ended_at"],
                condition=models.Q(outputs_deleted_at=None),
                name="run_with_outputs",
            ),
            models.Index(
                fields=["ended_at"],
                condition=models.Q(events_deleted_at=None),
                name="run_with_events",
            ),
            models.Index(
                fields=["ended_at"],
                condition=models.Q(restore_point=False),
                name="run_without_restore_point",
            ),
            # For services/protection.py: what is left when the newest restore point is gone.
            models.Index(
                fields=["policy", "-created_at"],
                condition=models.Q(restore_point=True),
                name="run_with_restore_point",
            ),
            models.Index(
                fields=["policy", "-gone_at"],
                condition=models.Q(gone_at__isnull=False),
                name="run_with_gone_snapshots",
            ),
            models.Index(
                fields=["-gone_at"],
                condition=models.Q(gone_at__isnull=False),
                name="run_newest_gone",
            ),
            models.Index(
                fields=["owner", "-gone_at"],
                condition=models.Q(gone_at__isnull=False),
                name="run_newest_gone_of_owner",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @cached_property
    def noted(self) -> dict[str, Any]:
        """Columns that this process has set, and that are written with the run's next change."""
        return {}

    @cached_property
    def around(self) -> dict[str, bool]:
        """What stood around the run when this process read it, see services/claiming.py; empty: nobody has looked."""
        return {}

    @property
    def label(self) -> str:
        """Return "owner/policy" as they were called when the run was created."""
        return f"{self.owner_name}/{self.policy_name}"

    @property
    def late_seconds(self) -> float | None:
        """From due to the start of before; None for what was not due, and for what has not begun."""
        return lateness.seconds(self.trigger, self.attempt, self.scheduled_for, self.ordered_at)

    @property
    def is_test(self) -> bool:
        """A test runs its scripts and makes no snapshots."""
        return self.trigger == Trigger.TEST


class Description(models.Model):
    """What AWS said of an instance and its volumes, or of a volume, when it was backed up.

    It cannot be asked for later, and a restore needs it. All runs that saw the same share the row.
    """

    digest = models.CharField(max_length=64, primary_key=True)  # SHA-256 of what AWS said
    resource_id = models.CharField(max_length=32)
    # {"instance": …, "user_data_sha256": …, "user_data_problem": …, "volumes": {id: …}}
    document = models.JSONField()
    last_seen_at = models.DateTimeField()  # to the day

    class Meta:
        indexes = [models.Index(fields=["last_seen_at"], name="description_by_age")]

    def __str__(self) -> str:
        return self.resource_id


class RunTarget(models.Model):
    """The result of one target of a run."""

    class State(models.TextChoices):
        PLANNED = "planned"
        LEFT_OUT = "left_out"  # it failed before anything was frozen
        FIRED = "fired"
        REFUSED = "refused"  # AWS made no snapshot
        UNKNOWN = "unknown"  # the answer was lost; the server looks for the tag to find out
        USABLE = "usable"
        FAILED = "failed"
        TESTED = "tested"  # in a test: its scripts were to run on it, and no snapshot was wanted

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="targets")
    instance_id = models.CharField(max_length=32, blank=True)
    volume_id = models.CharField(max_length=32, blank=True)
    region = models.CharField(max_length=32)
    description = models.ForeignKey(
        Description, on_delete=models.PROTECT, null=True, related_name="targets", db_index=False
    )
    exclude_boot_volume = models.BooleanField(default=False)
    exclude_volume_ids = models.JSONField(default=list)
    expected_volume_ids = models.JSONField(default=list)
    state = models.CharField(max_length=16, choices=State.choices, default=State.PLANNED)
    consistency = models.CharField(
        max_length=16, choices=_CONSISTENCIES, default=Consistency.PENDING
    )
    reason = SentenceField(blank=True)
    fired_at = models.DateTimeField(null=True)  # the call has returned
    returned_before_thaw = models.BooleanField(default=False)
    # How its scripts got to the instance, as `Remote.as_document` writes it; {}: it has none.
    remote = models.JSONField(default=dict, blank=True)
    # By phase: why its script cannot run on the instance. Known before the window.
    script_problems = models.JSONField(default=dict, blank=True)
    # By phase, what was carried there: {"script", "sha256", "version"}; see window/on_instances.py.
    prepared_scripts = models.JSONField(default=dict, blank=True)
    # Who began the thaw on the instance (`ThawnBy`), when we heard of it, and when its after had succeeded. Empty:
    # nothing was frozen there, or nobody knows.
    thaw_by = models.CharField(max_length=16, blank=True)
    thaw_began_at = models.DateTimeField(null=True)
    thawed_at = models.DateTimeField(null=True)

    class Meta:
        """Each poll looks for the unknown ones."""

        ordering = ["pk"]
        indexes = [
            # As an index of the column itself, PostgreSQL would get a second one, for LIKE.
            models.Index(fields=["description"], name="target_of_description"),
            models.Index(
                fields=["run"], condition=models.Q(state="unknown"), name="target_unknown"
            ),
            models.Index(fields=["instance_id"], name="run_target_of_instance"),
        ]

    def __str__(self) -> str:
        return self.instance_id or self.volume_id


class RunSnapshot(models.Model):
    class State(models.TextChoices):
        """ERROR and MISSING are final. GONE: it was completed, and AWS no longer has it.

        DELETING: the server intends to delete it, and may have asked AWS. DELETED: AWS has said that it did.
        """

        PENDING = "pending"
        COMPLETED = "completed"
        ERROR = "error"
        MISSING = "missing"
        TIMED_OUT = "timed_out"
        GONE = "gone"
        DELETING = "deleting"
        DELETED = "deleted"

    target = models.ForeignKey(RunTarget, on_delete=models.CASCADE, related_name="snapshots")
    snapshot_id = models.CharField(max_length=32, unique=True)
    volume_id = models.CharField(max_length=32)
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    progress = models.PositiveSmallIntegerField(default=0)
    message = SentenceField(blank=True)  # what AWS says about its state, or why it is not known
    created_at = models.DateTimeField()
    absent_since = models.DateTimeField(null=True)
    absent_polls = models.PositiveIntegerField(default=0)
    deleted_at = models.DateTimeField(null=True)
    bin_until = models.DateTimeField(null=True)  # deleted, and until then in the Recycle Bin

    class Meta:
        """Each poll looks for the pending ones."""

        ordering = ["pk"]
        indexes = [
            models.Index(
                fields=["volume_id"], condition=models.Q(state="pending"), name="snapshot_pending"
            ),
            # For the list of snapshots: those of a volume, and those that are not as usual.
            models.Index(fields=["volume_id"], name="snapshot_of_volume"),
            models.Index(
                fields=["state"],
                condition=~models.Q(state="completed"),
                name="snapshot_of_rare_state",
            ),
        ]

    def __str__(self) -> str:
        return self.snapshot_id


class RunEvent(models.Model):
    """One line of a run's history. It never changes; `at` is when it happened, not when it was entered."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=_STATES)
    text = SentenceField()

    class Meta:
        ordering = ["at", "pk"]

    def __str__(self) -> str:
        return self.text
