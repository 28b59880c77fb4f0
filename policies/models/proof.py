"""Proofs of snapshots, and their histories."""

import uuid

from django.conf import settings
from django.db import models

from n2wbackup.lib.sentences import LinesField, SentenceField
from policies.domain import proofs
from policies.domain.proofs import State
from policies.models.account import Account
from policies.models.policy import Policy
from policies.models.querysets import OwnedQuerySet
from policies.models.run import Run

_STATES = [(each.value, each.value.replace("_", " ")) for each in State]
_ENDS = sorted(each.value for each in proofs.ENDS)


class Proof(models.Model):
    """What was found when one snapshot of a run was tried. It goes with its run, and outlives its policy."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="proofs", db_index=False)
    policy = models.ForeignKey(
        Policy, on_delete=models.SET_NULL, null=True, related_name="proofs", db_index=False
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="proofs",
        db_index=False,
    )
    # Several: the one with the data of the recipe is looked for, in this order.
    snapshot_ids = models.JSONField(default=list)
    snapshot_id = models.CharField(max_length=32, blank=True)  # the one that was tried
    region = models.CharField(max_length=32)
    # Of copies: the name of their place, see selectors/sources.py, and the account that reaches it.
    place = models.CharField(max_length=100, blank=True)
    account = models.ForeignKey(
        Account, on_delete=models.SET_NULL, null=True, related_name="+", db_index=False
    )
    level = models.PositiveSmallIntegerField(choices=proofs.LEVELS)  # asked for
    reached = models.SmallIntegerField(default=-1)  # the highest one that passed; -1: none
    recipe = models.CharField(max_length=16, default=proofs.Recipe.NONE.value)
    full = models.BooleanField(default=False)  # every block is read
    state = models.CharField(max_length=16, choices=_STATES, default=State.QUEUED.value)
    reason = SentenceField(blank=True)
    requested_by = models.CharField(max_length=150, blank=True)  # empty: by the policy's schedule
    asked_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    # Queued: a worker may take it from then on. Working: from then on, its worker counts as dead.
    next_at = models.DateTimeField()
    tries = models.PositiveSmallIntegerField(default=0)
    server_id = models.CharField(max_length=36, blank=True)  # whose lock says that it lives

    file_system = models.CharField(max_length=32, blank=True)
    server = models.CharField(max_length=200, blank=True)  # what was started, and its version
    blocks_read = models.PositiveIntegerField(null=True)
    blocks_of_snapshot = models.PositiveIntegerField(null=True)
    cost_usd = models.FloatField(null=True)
    seconds = models.FloatField(null=True)  # from the opening of the snapshot to the answer
    replay_bytes = models.BigIntegerField(null=True)  # of the file system's journal
    redo_bytes = models.BigIntegerField(null=True)  # of the application's own log
    redo = SentenceField(blank=True)
    mark = models.CharField(max_length=16, blank=True)
    output = LinesField(blank=True)
    tag_due = models.BooleanField(default=False)
    # Which result of its run this is, from 1: clocks jump, and the last result counts. 0: of before, in their order.
    number = models.PositiveIntegerField(default=0)

    objects = OwnedQuerySet["Proof"].as_manager()

    class Meta:
        """The database lets one proof of an owner work at a time."""

        ordering = ["-asked_at"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=_ENDS, ended_at__isnull=False)
                | (~models.Q(state__in=_ENDS) & models.Q(ended_at=None)),
                name="proof_has_ended_when_its_state_says_so",
            ),
            models.UniqueConstraint(
                fields=["owner"],
                condition=models.Q(state=State.WORKING.value),
                name="one_working_proof_of_an_owner",
            ),
            models.UniqueConstraint(
                fields=["run"],
                condition=models.Q(ended_at=None),
                name="one_unfinished_proof_of_a_run",
            ),
        ]
        indexes = [
            models.Index(fields=["run", "-asked_at"], name="proof_of_run"),
            models.Index(fields=["policy", "-asked_at"], name="proof_of_policy"),
            models.Index(fields=["owner", "-asked_at"], name="proof_of_owner"),
            models.Index(fields=["-asked_at"], name="proof_newest"),
            models.Index(
                fields=["policy", "-ended_at"],
                condition=models.Q(state=State.PASSED.value),
                name="proof_passed_of_policy",
            ),
            models.Index(fields=["next_at"], condition=models.Q(ended_at=None), name="proof_due"),
            models.Index(
                fields=["tag_due"], condition=models.Q(tag_due=True), name="proof_tag_due"
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def reader(self) -> Account | None:
        """Return the account that reads the snapshots: of copies, the one that holds them. None: it was deleted."""
        if not self.place:
            return self.run.account
        account = self.account
        return account if account and account.owner_id == self.run.owner_id else None

    @property
    def cost_in_words(self) -> str:
        """Return what AWS takes for it, as an estimate; "" while that is not known."""
        return "" if self.cost_usd is None else proofs.dollars(self.cost_usd)


class ProofEvent(models.Model):
    """A line of a proof's history; nothing is ever changed in it."""

    proof = models.ForeignKey(Proof, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField()
    state = models.CharField(max_length=16)
    text = SentenceField()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.text
