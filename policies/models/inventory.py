"""What there is in AWS, as the last refresh of each account and region saw it, and what people left out on purpose."""

from django.db import models

from n2wbackup.lib.sentences import SentenceField
from policies.models.account import Account
from policies.models.querysets import OwnedQuerySet


class InventoryPlace(models.Model):
    """One chosen region of an account: when it is refreshed next, and what came of the last time."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="places")
    region = models.CharField(max_length=32)
    # A refresh claims the place by moving this ahead; only who claimed it writes what it saw.
    next_at = models.DateTimeField()
    seen_at = models.DateTimeField(null=True)  # everything that is not gone was last seen then
    failed_since = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(default=0)
    problem = SentenceField(blank=True)
    uncovered = models.PositiveIntegerField(default=0)  # when it was last looked at

    objects = OwnedQuerySet["InventoryPlace"].as_manager()

    class Meta:
        """A region is chosen once."""

        ordering = ["account__owner__username", "account__name", "region"]
        constraints = [
            models.UniqueConstraint(fields=["account", "region"], name="place_is_chosen_once"),
        ]
        indexes = [models.Index(fields=["next_at"], name="place_due")]

    def __str__(self) -> str:
        return self.region


class InventoryItem(models.Model):
    """One instance or volume of an account and region. It is written only when it changes."""

    class Kind(models.TextChoices):
        INSTANCE = "instance"
        VOLUME = "volume"

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="inventory")
    region = models.CharField(max_length=32)
    kind = models.CharField(max_length=8, choices=Kind.choices)
    resource_id = models.CharField(max_length=32)
    name = SentenceField(blank=True)
    tags = models.JSONField(
        default=dict
    )  # as AWS says them: whoever shows them makes them harmless
    type = models.CharField(max_length=32, blank=True)
    size_gib = models.PositiveIntegerField(default=0)  # of an instance: all its volumes together
    state = models.CharField(max_length=32, blank=True)
    instance_id = models.CharField(max_length=32, blank=True)  # that a volume is attached to
    is_boot = models.BooleanField(default=False)  # it is the boot volume of that instance
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(null=True)  # of what is missing or gone
    missing_since = models.DateTimeField(null=True)  # a listing of AWS may lag: not yet gone
    gone_at = models.DateTimeField(null=True)
    digest = models.CharField(
        max_length=64
    )  # of everything that AWS says, so that few bytes tell a change

    objects = OwnedQuerySet["InventoryItem"].as_manager()

    class Meta:
        """Found by id, by instance, by size, and by age."""

        constraints = [
            models.UniqueConstraint(
                fields=["account", "region", "resource_id"], name="item_is_known_once"
            ),
        ]
        indexes = [
            models.Index(fields=["account", "region", "instance_id"], name="item_attached"),
            models.Index(fields=["resource_id"], name="item_by_id"),
            models.Index(
                fields=["-size_gib", "first_seen_at", "id"],
                condition=models.Q(gone_at__isnull=True),
                name="item_worst_first",
            ),
            models.Index(
                fields=["gone_at"],
                condition=models.Q(gone_at__isnull=False),
                name="item_gone_by_age",
            ),
        ]

    def __str__(self) -> str:
        return self.resource_id


class LeftOut(models.Model):
    """Somebody's decision that an instance (with its volumes) or a volume is in no policy, and why."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="left_out")
    region = models.CharField(max_length=32)
    resource_id = models.CharField(max_length=32)
    reason = SentenceField()
    by = models.CharField(max_length=64)
    at = models.DateTimeField()

    objects = OwnedQuerySet["LeftOut"].as_manager()

    class Meta:
        """One decision for each resource; the newest first."""

        ordering = ["-at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "region", "resource_id"], name="left_out_once"
            ),
        ]
        indexes = [
            models.Index(fields=["-at", "-id"], name="left_out_newest"),
            models.Index(fields=["resource_id"], name="left_out_by_id"),
        ]

    def __str__(self) -> str:
        return self.resource_id


class EnrolRule(models.Model):
    """What bears this tag in an account joins this policy at each refresh."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="enrol_rules")
    policy = models.ForeignKey(
        "policies.Policy", on_delete=models.CASCADE, related_name="enrol_rules"
    )
    what = models.CharField(max_length=16)  # domain.enrolment.What
    tag = models.CharField(max_length=128)
    value = models.CharField(max_length=256, blank=True)
    # By region: how many bear the tag and are not in the policy, because it is full.
    left_over = models.JSONField(default=dict, editable=False)

    objects = OwnedQuerySet["EnrolRule"].as_manager()

    class Meta:
        """A rule is entered once."""

        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "policy", "what", "tag", "value"], name="enrol_rule_is_one"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tag}={self.value}"
