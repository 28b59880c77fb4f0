"""A schedule says when policies are due. Any number of its owner's policies can follow it."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower

from policies.domain.schedules.schedule import Unit
from policies.models.querysets import OwnedQuerySet


class Schedule(models.Model):
    """Either `cron`, or every `every_number` `every_unit`, counted from `starting`.

    `starting` and `ending` are local times in the time zone ("2026-12-01T00:00"), not moments: they stay as entered
    when the zone or its rules change. `disabled` is a list of lines ("sat sun 08:00-18:00").
    """

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="schedules"
    )
    name = models.CharField(max_length=64)
    cron = models.CharField(max_length=200, blank=True)
    every_number = models.PositiveIntegerField("every", null=True, blank=True)
    every_unit = models.CharField(
        "unit", max_length=8, choices=[(unit.value, unit.value) for unit in Unit], blank=True
    )
    starting = models.CharField(max_length=16, blank=True)
    ending = models.CharField(max_length=16, blank=True)
    timezone = models.CharField("time zone", max_length=64, default="UTC")
    disabled = models.JSONField("disabled times", default=list, blank=True)

    objects = OwnedQuerySet["Schedule"].as_manager()

    class Meta:
        """A name is unique for its owner; a schedule is either cron or every."""

        constraints = [
            models.UniqueConstraint("owner", Lower("name"), name="schedule_name_is_the_owners_own"),
            models.CheckConstraint(
                condition=(
                    models.Q(every_number=None, every_unit="", starting="") & ~models.Q(cron="")
                    | models.Q(cron="", every_number__gte=1)
                    & ~models.Q(every_unit="")
                    & ~models.Q(starting="")
                ),
                name="schedule_is_cron_or_every",
            ),
        ]

    def __str__(self) -> str:
        return self.name
