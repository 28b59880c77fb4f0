"""A policy and its targets."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Greatest, Lower

from policies.domain import protection
from policies.domain.document.fields import CHOICES, DEFAULTS
from policies.domain.retention.rules import Rules
from policies.domain.runs.verdict import Consistency
from policies.models.account import Account
from policies.models.inventory import EnrolRule
from policies.models.querysets import OwnedQuerySet
from policies.models.schedule import Schedule
from scripts_admin.domain import names
from scripts_admin.domain.remote import Remote
from scripts_admin.models import Folder


class Policy(models.Model):
    """Instances and volumes that are backed up together, and how. The names say the units."""

    # `policy_of_owner` begins with it.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="policies", db_index=False
    )
    folder = models.ForeignKey(Folder, on_delete=models.PROTECT, related_name="policies")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="policies")
    name = models.CharField(max_length=64)
    enabled = models.BooleanField(default=DEFAULTS["enabled"])
    success_requires = models.CharField(
        max_length=16, choices=CHOICES["success_requires"], default=DEFAULTS["success_requires"]
    )
    max_freeze_seconds = models.PositiveIntegerField(default=DEFAULTS["max_freeze_seconds"])
    scripts_enabled = models.BooleanField(default=DEFAULTS["scripts_enabled"])
    collect_output = models.BooleanField(default=DEFAULTS["collect_output"])
    end_leftovers = models.BooleanField(default=DEFAULTS["end_leftovers"])
    before_timeout_seconds = models.PositiveIntegerField(default=DEFAULTS["before_timeout_seconds"])
    after_timeout_seconds = models.PositiveIntegerField(default=DEFAULTS["after_timeout_seconds"])
    complete_timeout_seconds = models.PositiveIntegerField(
        default=DEFAULTS["complete_timeout_seconds"]
    )
    skip_snapshots_when_before_fails = models.BooleanField(
        default=DEFAULTS["skip_snapshots_when_before_fails"]
    )
    snapshot_timeout_hours = models.PositiveIntegerField(default=DEFAULTS["snapshot_timeout_hours"])
    thaw_retry_minutes = models.PositiveIntegerField(default=DEFAULTS["thaw_retry_minutes"])
    schedules = models.ManyToManyField(Schedule, blank=True, related_name="policies")
    retry_count = models.PositiveIntegerField("retries", default=DEFAULTS["retry_count"])
    retry_minutes = models.PositiveIntegerField(
        "minutes between retries", default=DEFAULTS["retry_minutes"]
    )

    # How many restore points are kept; all 0: every one. See domain/retention/.
    keep_last = models.PositiveIntegerField(default=DEFAULTS["keep_last"])
    keep_daily = models.PositiveIntegerField(default=DEFAULTS["keep_daily"])
    keep_weekly = models.PositiveIntegerField(default=DEFAULTS["keep_weekly"])
    keep_monthly = models.PositiveIntegerField(default=DEFAULTS["keep_monthly"])
    keep_yearly = models.PositiveIntegerField(default=DEFAULTS["keep_yearly"])
    keep_generations = models.PositiveIntegerField(default=DEFAULTS["keep_generations"])
    retention_timezone = models.CharField(max_length=64, default=DEFAULTS["retention_timezone"])

    # When the rules were last applied; None: not yet. By services/retention/cleaning.py.
    cleaned_at = models.DateTimeField(null=True, editable=False)

    # How often a restore point is proven by itself, and how far; 0 days: never. See domain/proofs.py.
    proof_days = models.PositiveIntegerField(default=DEFAULTS["proof_days"])
    proof_level = models.PositiveIntegerField(default=DEFAULTS["proof_level"])
    proof_recipe = models.CharField(
        max_length=16, choices=CHOICES["proof_recipe"], default=DEFAULTS["proof_recipe"]
    )
    proof_copies = models.BooleanField(default=DEFAULTS["proof_copies"])

    rpo_hours = models.PositiveIntegerField(
        "recovery point objective", default=DEFAULTS["rpo_hours"]
    )

    # Kept by services/due/ticking.py: the earliest due time that is not accounted for.
    next_run_at = models.DateTimeField(null=True, editable=False)
    planned_at = models.DateTimeField(null=True, editable=False)  # the clock when it was computed

    # Kept by services/entry/pausing.py, and cleared by the tick when the pause is over.
    paused_at = models.DateTimeField(null=True, editable=False)
    paused_until = models.DateTimeField(null=True, editable=False)
    paused_reason = models.CharField(max_length=200, blank=True, editable=False)
    paused_by = models.CharField(max_length=150, blank=True, editable=False)

    # Kept by services/runs.py, so that no page has to count runs.
    last_run = models.ForeignKey(
        "policies.Run", on_delete=models.SET_NULL, null=True, editable=False, related_name="+"
    )
    last_success_at = models.DateTimeField(null=True, editable=False)
    # Kept by services/proof/working.py: the newest proof that has ended, and the newest one that passed.
    last_proof = models.ForeignKey(
        "policies.Proof",
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        db_index=False,
    )
    proven_by = models.ForeignKey(
        "policies.Proof",
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        db_index=False,
    )
    failed_since = models.DateTimeField(
        null=True, editable=False
    )  # the first end after the last success
    may_be_frozen_since = models.DateTimeField(null=True, editable=False)

    # Protection: what services/protection.py has reckoned, so that lists only compare it with the clock.
    # How old a restore point may be; None: nothing says so. By services/due/objectives.py.
    objective_seconds = models.PositiveIntegerField(null=True, editable=False)
    reckoned_at = models.DateTimeField(
        null=True, editable=False
    )  # None: it is reckoned by the next tick
    requires = models.CharField(max_length=16, default=Consistency.CRASH, editable=False)
    protected_until = models.DateTimeField(default=protection.NEVER_UNTIL, editable=False)
    unprotected_from = models.DateTimeField(default=protection.NEVER_UNTIL, editable=False)
    paused_since = models.DateTimeField(null=True, editable=False)
    # At that time DryRun proved the permission for exactly this account and these targets.
    proved_for = models.CharField(max_length=64, blank=True, editable=False)
    proved_at = models.DateTimeField(null=True, editable=False)

    objects = OwnedQuerySet["Policy"].as_manager()

    class Meta:
        """A name is unique in its folder, as the scripts in it are found by that name."""

        verbose_name_plural = "policies"
        permissions = [
            ("see_policy", "May see this policy and its runs"),
            ("edit_policy", "May edit this policy"),
            ("run_policy", "May run this policy"),
            ("approve_hosts_policy", "May approve the hosts of this policy's scripts"),
            ("restore_policy", "May restore from the backups of this policy"),
        ]
        constraints = [
            models.UniqueConstraint("folder", Lower("name"), name="policy_name_is_the_folders_own"),
            models.UniqueConstraint("owner", Lower("name"), name="policy_name_is_the_owners_own"),
            models.CheckConstraint(
                condition=models.Q(name__regex=rf"^{names.POLICY_NAME.pattern}$"),
                name="policy_name_is_valid",
            ),
            models.CheckConstraint(
                condition=models.Q(max_freeze_seconds__gte=models.F("before_timeout_seconds") + 10),
                name="before_leaves_time_to_fire",
            ),
            models.CheckConstraint(
                condition=models.Q(paused_at=None, paused_until=None)
                | (models.Q(paused_at__isnull=False) & models.Q(paused_until__isnull=False)),
                name="pause_has_an_end",
            ),
        ]
        indexes = [
            # In the order of lists.
            models.Index(fields=["owner", "name"], name="policy_of_owner"),
            # Read each second; policies without a due time are not in the index.
            models.Index(
                fields=["next_run_at"],
                condition=models.Q(next_run_at__isnull=False),
                name="policy_due",
            ),
            models.Index(fields=["planned_at"], name="policy_planned"),
            # Read each second, as policy_due is.
            models.Index(
                fields=["paused_until"],
                condition=models.Q(paused_until__isnull=False),
                name="policy_pause_ends",
            ),
            # Each page asks for these.
            models.Index(
                fields=["may_be_frozen_since"],
                condition=models.Q(may_be_frozen_since__isnull=False),
                name="policy_frozen",
            ),
            # Worst first; an owner's own; what is seen at a glance.
            models.Index(fields=["protected_until", "id"], name="policy_worst"),
            models.Index(fields=["owner", "protected_until", "id"], name="policy_worst_of_owner"),
            models.Index(
                fields=["owner", "next_run_at"],
                condition=models.Q(next_run_at__isnull=False),
                name="policy_next_of_owner",
            ),
            models.Index(
                fields=["failed_since"],
                condition=models.Q(failed_since__isnull=False),
                name="policy_failing",
            ),
            models.Index(
                fields=["last_proof"],
                condition=models.Q(last_proof__isnull=False),
                name="policy_with_proof",
            ),
            models.Index(
                fields=["proven_by"],
                condition=models.Q(proven_by__isnull=False),
                name="policy_proven",
            ),
            models.Index(
                fields=["paused_since"],
                condition=models.Q(paused_since__isnull=False),
                name="policy_paused",
            ),
            models.Index(
                fields=["id"], condition=models.Q(reckoned_at=None), name="policy_not_reckoned"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def label(self) -> str:
        return f"{self.owner.username}/{self.name}"

    @property
    def rules(self) -> Rules:
        """How many restore points are kept."""
        return Rules(
            keep_last=self.keep_last,
            daily=self.keep_daily,
            weekly=self.keep_weekly,
            monthly=self.keep_monthly,
            yearly=self.keep_yearly,
            generations=self.keep_generations,
            timezone=self.retention_timezone,
        )


class PolicyTarget(models.Model):
    """One instance of a policy, or one volume by itself."""

    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="targets")
    instance_id = models.CharField("instance", max_length=32, blank=True)
    volume_id = models.CharField("volume", max_length=32, blank=True)
    region = models.CharField(max_length=32)
    # "Does any policy back this up?" is asked by the id alone. One of the two is empty, so the greater one is the id.
    # With an index on each, most rows would have the same value, and SQLite would rather scan.
    resource_id = models.GeneratedField(
        expression=Greatest("instance_id", "volume_id"),
        output_field=models.CharField(max_length=32),
        db_persist=True,
    )
    exclude_boot_volume = models.BooleanField(default=False)
    exclude_volume_ids = models.JSONField("excluded volumes", default=list, blank=True)
    # How scripts get to the instance. An empty `by`: none do; see scripts_admin/domain/remote.py.
    remote_by = models.CharField(max_length=8, blank=True)
    remote_user = models.CharField(max_length=32, blank=True)
    remote_key = models.CharField(max_length=16, blank=True)
    remote_host = models.CharField(max_length=253, blank=True)  # empty: its private address
    remote_port = models.PositiveIntegerField(null=True, blank=True)
    remote_bastion = models.CharField(max_length=300, blank=True)
    remote_sudo = models.BooleanField(default=False)
    remote_document = models.CharField(max_length=128, blank=True)
    remote_before = models.CharField(max_length=1024, blank=True)  # a path on the instance
    remote_after = models.CharField(max_length=1024, blank=True)
    # The rule that enrolled it. None: a person entered it, and no rule ever removes it.
    rule = models.ForeignKey(
        EnrolRule, on_delete=models.SET_NULL, null=True, editable=False, related_name="targets"
    )
    # Since then it does not bear the rule's tag; a second look decides, as AWS's answers may lag.
    untagged_since = models.DateTimeField(null=True, editable=False)
    # The owner knows that it stays without the tag, as the policy's last target.
    stays_as_last = models.BooleanField(default=False, editable=False)

    # Kept by services/protection.py: the newest restore points whose snapshots all exist, and when they were made.
    application_point = models.ForeignKey(
        "policies.RunTarget", on_delete=models.SET_NULL, null=True, editable=False, related_name="+"
    )
    application_at = models.DateTimeField(null=True, editable=False)
    crash_point = models.ForeignKey(  # of at least this consistency
        "policies.RunTarget", on_delete=models.SET_NULL, null=True, editable=False, related_name="+"
    )
    crash_at = models.DateTimeField(null=True, editable=False)
    lost_at = models.DateTimeField(null=True, editable=False)  # the newest was found to be gone
    checked_at = models.DateTimeField(null=True, editable=False)  # AWS was asked whether they exist

    class Meta:
        """Either an instance or a volume; each appears only once in a policy."""

        constraints = [
            models.CheckConstraint(
                condition=(
                    ~models.Q(instance_id="") & models.Q(volume_id="")
                    | models.Q(instance_id="") & ~models.Q(volume_id="")
                ),
                name="target_is_an_instance_or_a_volume",
            ),
            models.UniqueConstraint(
                fields=["policy", "region", "instance_id", "volume_id"],
                name="target_is_named_once",
            ),
            models.CheckConstraint(
                condition=models.Q(remote_by="") | ~models.Q(instance_id=""),
                name="target_with_scripts_is_an_instance",
            ),
        ]
        indexes = [
            models.Index(
                fields=["checked_at"],
                condition=models.Q(crash_point__isnull=False),
                name="target_to_check",
            ),
            models.Index(fields=["resource_id"], name="target_of_resource"),
        ]

    def __str__(self) -> str:
        return self.instance_id or self.volume_id

    @property
    def remote(self) -> Remote:
        """How scripts get to the instance; false if none do."""
        return Remote(**{key: getattr(self, f"remote_{key}") for key in Remote.__slots__})

    @remote.setter
    def remote(self, remote: Remote) -> None:
        for key in Remote.__slots__:
            setattr(self, f"remote_{key}", getattr(remote, key))

    @property
    def scripts_in_words(self) -> str:
        """How scripts get to the instance, to stand behind the target's name; "" if none do."""
        return f" [scripts {self.remote}]" if self.remote else ""
