"""The outbox of alarms and pings, and their receivers."""

from django.conf import settings
from django.db import models

from n2wbackup.lib.encrypted import EncryptedTextField
from n2wbackup.lib.sentences import LinesField, SentenceField
from policies.domain.alarms.messages import AlarmKind
from policies.models.policy import Policy
from policies.models.querysets import OwnedQuerySet, ReceiversQuerySet
from policies.models.run import Run

_KINDS = [(kind.value, kind.value.replace("_", " ")) for kind in AlarmKind]


class AlarmReceivers(models.Model):
    """The receivers of the alarms of one user, or of one policy.

    A separate row, as the URLs are encrypted: with a lost key, users and policies still load and thaw.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="alarm_receivers",
    )
    policy = models.OneToOneField(
        Policy, on_delete=models.CASCADE, null=True, blank=True, related_name="alarm_receivers"
    )
    urls = EncryptedTextField(default="", blank=True)  # one per line
    ping_url = EncryptedTextField(default="", blank=True)
    has_ping = models.BooleanField(default=False, editable=False)  # so that runs need not decrypt
    # At these times of the week the receiver gets nothing that can wait: "mon tue 22:00-06:00".
    quiet_times = models.JSONField(default=list, blank=True)
    quiet_timezone = models.CharField(max_length=64, default="UTC")

    objects = ReceiversQuerySet["AlarmReceivers"].as_manager()

    class Meta:
        """They belong to a user or to a policy; only a policy has a ping URL."""

        verbose_name = verbose_name_plural = "alarm receivers"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(user=None, policy__isnull=False)
                | models.Q(user__isnull=False, policy=None, has_ping=False),
                name="receivers_are_a_users_or_a_policys",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.policy.owner}/{self.policy}" if self.policy else str(self.user)


class AlarmMute(models.Model):
    """The alarms of a policy wait until then, because a person said so. It ends by itself; a freeze is never muted."""

    policy = models.OneToOneField(Policy, on_delete=models.CASCADE, related_name="mute")
    begun_at = models.DateTimeField()
    until = models.DateTimeField()
    reason = SentenceField()
    by = models.CharField(max_length=150)  # the name of who muted it

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.policy} until {self.until}"


class Alarm(models.Model):
    """One message, saved in the same transaction as the change that it reports. It outlives policy, owner and run."""

    kind = models.CharField(max_length=16, choices=_KINDS)
    # `alarm_of_policy` begins with it.
    policy = models.ForeignKey(
        Policy, on_delete=models.SET_NULL, null=True, related_name="alarms", db_index=False
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    run = models.ForeignKey(Run, on_delete=models.SET_NULL, null=True, related_name="alarms")
    label = models.CharField(max_length=96)  # "owner/policy" at that time
    title = models.CharField(max_length=255, blank=True)
    text = LinesField(blank=True)
    created_at = models.DateTimeField()  # of the first event that it covers
    count = models.PositiveIntegerField(default=1)
    not_before = models.DateTimeField()  # held back until then
    spread_at = models.DateTimeField(null=True)  # since then it has one delivery per receiver

    objects = OwnedQuerySet["Alarm"].as_manager()

    class Meta:
        """Indexes for three questions: the newest of a kind, those to be spread, and the old ones."""

        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["policy", "kind", "-id"], name="alarm_of_policy"),
            models.Index(fields=["kind", "created_at"], name="alarm_of_kind"),
            models.Index(fields=["created_at"], name="alarm_by_age"),
            models.Index(
                fields=["not_before"],
                condition=models.Q(spread_at__isnull=True),
                name="alarm_to_spread",
            ),
            models.Index(fields=["owner", "-id"], name="alarm_of_owner"),
        ]

    def __str__(self) -> str:
        return self.title or f"{self.label}: {self.get_kind_display()}"


class AlarmDelivery(models.Model):
    """One message on its way to one URL. When the delivery ends, the URL is deleted."""

    class State(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        GIVEN_UP = "given_up"

    alarm = models.ForeignKey(Alarm, on_delete=models.CASCADE, related_name="deliveries")
    receivers = models.ForeignKey(
        AlarmReceivers, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    # NULL once it has ended: nothing needs it then, and a lost key does no harm.
    url = EncryptedTextField(null=True)  # type: ignore[misc] # in every delivery that is read, it is a text
    shown = models.CharField(max_length=80)  # scheme and masked host
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField()
    # Until then a process is sending it; after that this process counts as dead.
    claimed_until = models.DateTimeField(null=True)
    held_until = models.DateTimeField(null=True)  # the end of its receiver's quiet hours
    reason = SentenceField(blank=True)  # why it is not yet sent, or was given up
    ended_at = models.DateTimeField(null=True)

    class Meta:
        """Each second a process looks for those that are due: it is pending as long as it has not ended."""

        verbose_name_plural = "alarm deliveries"
        ordering = ["pk"]
        indexes = [
            models.Index(
                fields=["next_at"], condition=models.Q(ended_at=None), name="delivery_due"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.shown}: {self.state}"
