"""What became of the scripts of a run, on the server and on instances."""

from django.db import models
from django.db.models.functions import Coalesce

from policies.models.run import Run, RunTarget
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.models import ScriptVersion

_OUTCOMES = [(outcome.value, outcome.value) for outcome in Outcome]
_PHASES = [(phase.value, phase.value) for phase in Phase]


class _OnServer(models.Manager["PhaseResult"]):
    """The results of the run's own scripts, which ran on the server."""

    def get_queryset(self) -> models.QuerySet["PhaseResult"]:
        return super().get_queryset().filter(target=None)


class _OnInstances(models.Manager["PhaseResult"]):
    """The results of the scripts that ran on instances."""

    def get_queryset(self) -> models.QuerySet["PhaseResult"]:
        return super().get_queryset().exclude(target=None)


class PhaseResult(models.Model):
    """The result of one attempt of one script, on the server or on an instance.

    A run's `phases` and `objects` are those on the server; a target's are in `remote`.
    """

    class Doubt(models.TextChoices):
        """Why it is not known for certain which text ran."""

        CHANGED = "changed"  # between the preparation and the start, and once more after it
        LOST = "lost"  # the process that would have told was lost

    # `one_result_of_an_attempt` begins with it.
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="phases", db_index=False)
    # The instance on which the script ran; None: it ran on the server. A target's `results` are read with the manager
    # `remote` only.
    target = models.ForeignKey(
        RunTarget, on_delete=models.CASCADE, null=True, related_name="results", db_index=False
    )
    phase = models.CharField(max_length=16, choices=_PHASES)
    attempt = models.PositiveIntegerField(default=1)
    outcome = models.CharField(max_length=16, choices=_OUTCOMES)
    exit_code = models.IntegerField(null=True)
    argument = models.CharField(max_length=1, blank=True)
    script = models.CharField(max_length=255, blank=True)
    # Of the text that ran; where there is a doubt, of the one that was prepared. Empty: not known.
    script_sha256 = models.CharField(max_length=64, blank=True)
    script_version = models.ForeignKey(
        ScriptVersion, on_delete=models.SET_NULL, null=True, related_name="results"
    )
    script_doubt = models.CharField(max_length=16, choices=Doubt.choices, blank=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    # How much it printed; the text is in the chunks.
    stdout_bytes = models.PositiveIntegerField(default=0)
    stderr_bytes = models.PositiveIntegerField(default=0)
    # Of after on an instance: who began this attempt (`ThawnBy`).
    thaw_by = models.CharField(max_length=16, blank=True)

    objects = _OnServer()
    remote = _OnInstances()
    everywhere = models.Manager["PhaseResult"]()

    class Meta:
        """An attempt is entered only once, even if two processes try."""

        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                "run",
                "phase",
                "attempt",
                Coalesce("target", 0),  # databases take no NULL for equal to another one
                name="one_result_of_an_attempt",
            ),
        ]
        indexes = [
            models.Index(
                fields=["target"],
                condition=models.Q(target__isnull=False),
                name="result_on_instance",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.phase} {self.outcome}"
