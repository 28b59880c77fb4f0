"""The SSH keys with which a folder's scripts log in, and the hosts that they may log in to."""

import uuid
from enum import StrEnum

from django.db import models

from n2wbackup.lib.encrypted import EncryptedTextField
from n2wbackup.lib.sentences import SentenceField
from scripts_admin.domain import ssh
from scripts_admin.domain.ssh import PublicKey
from scripts_admin.models.folder import Folder

SLOTS = (1, 2)


class SshKey(models.Model):
    """A key pair of a folder. Two are valid at most, so that one can replace the other; a retired one has no secret."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    folder = models.ForeignKey(Folder, on_delete=models.CASCADE, related_name="ssh_keys")
    comment = models.CharField(max_length=100)
    public = models.TextField()
    private = EncryptedTextField(blank=True)  # empty once it is retired
    slot = models.PositiveSmallIntegerField(null=True)  # NULL: retired
    is_made_here = models.BooleanField(default=True)
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=150)
    retired_at = models.DateTimeField(null=True)

    class Meta:
        """The newest first."""

        default_permissions = ()
        ordering = ["-made_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["folder", "slot"], name="ssh_key_has_its_slot"),
            models.UniqueConstraint(fields=["folder", "public"], name="ssh_key_is_kept_once"),
            models.CheckConstraint(
                condition=models.Q(slot__in=SLOTS, retired_at=None)
                | models.Q(slot=None, retired_at__isnull=False),
                name="ssh_key_is_valid_or_retired",
            ),
        ]

    def __str__(self) -> str:
        return self.fingerprint

    @property
    def key(self) -> PublicKey:
        return ssh.public_key(self.public)

    @property
    def fingerprint(self) -> str:
        return self.key.fingerprint

    @property
    def authorized_keys(self) -> str:
        """The line for authorized_keys on the hosts."""
        return ssh.authorized_keys(self.public, self.comment)

    @property
    def is_valid(self) -> bool:
        return self.slot is not None


class HostState(StrEnum):
    """What is known of a host. Only an approved key is in known_hosts, also while the host shows another one."""

    ASKED = "asked"  # a worker asks for its key
    SILENT = "silent"  # it did not answer, and no key is approved
    SEEN = "seen"  # it answered, and a person has to decide
    APPROVED = "approved"
    REFUSED = "refused"
    CHANGED = "changed"  # it answered with another key than the approved one


class SshHost(models.Model):
    """A host that the scripts of a folder log in to."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    folder = models.ForeignKey(Folder, on_delete=models.CASCADE, related_name="ssh_hosts")
    name = models.CharField(max_length=253)  # as scripts write it
    port = models.PositiveIntegerField(default=ssh.DEFAULT_PORT)
    state = models.CharField(
        max_length=16, default=HostState.ASKED, choices=[(s.value, s.value) for s in HostState]
    )
    problem = SentenceField(blank=True)
    # The approved key, and who approved it.
    key = models.TextField(blank=True)
    approved_at = models.DateTimeField(null=True)
    approved_by = models.CharField(max_length=150, blank=True)
    # The key with which the host answered last.
    seen = models.TextField(blank=True)
    seen_at = models.DateTimeField(null=True)
    expected = models.CharField(max_length=64, blank=True)  # a fingerprint that a person pasted
    expected_by = models.CharField(max_length=150, blank=True)
    # For the workers: it is to be asked, and one of them does.
    asked_at = models.DateTimeField(null=True)
    taken_at = models.DateTimeField(null=True)
    # Which runs need it: those of these policies (by name), else of this instance, else all of the folder.
    policies = models.JSONField(default=list, blank=True)
    instance_id = models.CharField(max_length=32, blank=True)
    # What the instance's console showed of its host keys.
    console = models.JSONField(default=list, blank=True)
    console_problem = SentenceField(blank=True)
    added_at = models.DateTimeField()
    added_by = models.CharField(max_length=150)

    class Meta:
        """By name."""

        default_permissions = ()
        ordering = ["name", "port"]
        constraints = [
            models.UniqueConstraint(
                fields=["folder", "name", "port"], name="ssh_host_is_listed_once"
            ),
        ]
        indexes = [models.Index(fields=["asked_at"], name="ssh_host_to_ask")]

    def __str__(self) -> str:
        return self.name if self.port == ssh.DEFAULT_PORT else f"{self.name}:{self.port}"

    @property
    def approved_key(self) -> PublicKey | None:
        return ssh.public_key(self.key) if self.key else None

    @property
    def seen_key(self) -> PublicKey | None:
        return ssh.public_key(self.seen) if self.seen else None

    @property
    def is_asked(self) -> bool:
        return self.asked_at is not None


class HostQuestion(models.Model):
    """One question to a host: for the limits of how often tenants may let the server ask."""

    folder = models.ForeignKey(Folder, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.folder}, {self.at}"
