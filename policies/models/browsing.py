"""Snapshots whose files somebody looks at, and the copies of their files to instances."""

import uuid

from django.db import models

from n2wbackup.lib.sentences import SentenceField
from policies.domain import proofs
from policies.domain.browsing import states
from policies.domain.browsing.states import Bringing, State
from policies.models.account import Account
from policies.models.copy import Copy
from policies.models.querysets import OwnedQuerySet
from policies.models.run import Run, RunSnapshot

_STATES = [(each.value, each.value) for each in State]
_COPIES = [(each.value, each.value) for each in Bringing]


class OpenedSnapshot(models.Model):
    """A snapshot that is opened as a disk on one server, for everyone who may restore from its run.

    It stays as a record of who looked, how long, and what it cost.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Each of the two begins an index below.
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="opened", db_index=False)
    snapshot = models.ForeignKey(
        RunSnapshot, on_delete=models.CASCADE, related_name="opened", db_index=False
    )
    # The copy of it that is opened in its place; None: the snapshot itself.
    copy = models.ForeignKey(
        Copy, on_delete=models.CASCADE, null=True, related_name="opened", db_index=False
    )
    part = models.SmallIntegerField(default=-1)  # of the disk; -1: the largest that can be read
    server = models.CharField(max_length=36)  # only there it can be read
    asked_by = models.CharField(max_length=150)
    state = models.CharField(max_length=8, choices=_STATES, default=State.ASKED)
    sentence = SentenceField(blank=True)  # why it failed, or was closed
    asked_at = models.DateTimeField()
    opened_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    # Asked: a worker may take it from then on. Opening: from then on, its worker counts as dead.
    next_at = models.DateTimeField()
    tries = models.PositiveSmallIntegerField(default=0)
    # The file system, as it was found: {"file_system", "label", "journal", …}; see services/browsing/opening.py.
    about = models.JSONField(default=dict)
    blocks_read = models.PositiveBigIntegerField(default=0)

    objects = OwnedQuerySet["OpenedSnapshot"].as_manager()

    class Meta:
        """The database forbids that a server opens a part of a snapshot twice at the same time."""

        ordering = ["-asked_at"]
        permissions = [("open_snapshots", "Can have snapshots opened on this server")]
        constraints = [
            models.UniqueConstraint(
                fields=["snapshot", "part", "server"],
                condition=models.Q(ended_at=None, copy=None),
                name="one_opening_of_a_snapshot",
            ),
            models.UniqueConstraint(
                fields=["copy", "part", "server"],
                condition=models.Q(ended_at=None, copy__isnull=False),
                name="one_opening_of_a_copy",
            ),
        ]
        indexes = [
            models.Index(fields=["run", "-asked_at"], name="opened_of_run"),
            models.Index(fields=["snapshot", "-asked_at"], name="opened_of_snapshot"),
            models.Index(fields=["copy"], name="opened_of_copy"),
            models.Index(
                fields=["server", "last_used_at"],
                condition=models.Q(ended_at=None),
                name="opened_now",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.image} opened for {self.asked_by}"

    @property
    def image(self) -> RunSnapshot | Copy:
        """Return what is opened: the copy, or the snapshot itself. Its `snapshot_id` is AWS's."""
        return self.copy or self.snapshot

    @property
    def account(self) -> Account | None:
        """Return the account that reads it; None: it was deleted, or is no longer the owner's."""
        if self.copy is None:
            return self.run.account
        account = self.copy.account
        return account if account and account.owner_id == self.run.owner_id else None

    @property
    def is_open(self) -> bool:
        return self.state == State.OPEN

    @property
    def goes_on(self) -> bool:
        """Tell whether it is on the way to be opened."""
        return self.state in {State.ASKED, State.OPENING}

    @property
    def cost(self) -> float:
        """Return about what AWS takes for the blocks that were read, in US dollars."""
        return states.cost(self.blocks_read)

    @property
    def cost_in_words(self) -> str:
        return proofs.dollars(self.cost)


class BroughtFiles(models.Model):
    """A copy of files out of an opened snapshot into a new folder on an instance."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    opened = models.ForeignKey(
        OpenedSnapshot, on_delete=models.CASCADE, related_name="brought", db_index=False
    )
    asked_by = models.CharField(max_length=150)
    instance_id = models.CharField(max_length=32)
    region = models.CharField(max_length=32)
    paths = models.JSONField()  # tokens, see domain/browsing/paths.py
    above = models.CharField(max_length=1024)  # the folder on the instance that gets the new one
    folder = models.CharField(max_length=1100, blank=True)  # the new one
    state = models.CharField(max_length=8, choices=_COPIES, default=Bringing.ASKED)
    sentence = SentenceField(blank=True)
    files = models.PositiveBigIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)
    left_out = models.PositiveBigIntegerField(default=0)
    asked_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    next_at = (
        models.DateTimeField()
    )  # asked: as above; copying: from then on, its worker counts as dead

    class Meta:
        """The database forbids two unfinished copies out of one opened snapshot."""

        ordering = ["-asked_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["opened"],
                condition=models.Q(ended_at=None),
                name="one_unfinished_copy_of_an_opening",
            ),
        ]
        indexes = [
            models.Index(fields=["opened", "-asked_at"], name="brought_of_opened"),
            models.Index(fields=["next_at"], condition=models.Q(ended_at=None), name="brought_due"),
        ]

    def __str__(self) -> str:
        return f"files to {self.instance_id}"
