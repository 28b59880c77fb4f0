"""Schedules with the policies that follow them."""

from typing import NamedTuple

from django.db.models import Prefetch

from policies.models import Policy, Schedule
from policies.models.querysets import OwnedQuerySet
from scripts_admin.models import User


class Follower(NamedTuple):
    owner: str
    name: str
    enabled: bool


class ScheduleRow(NamedTuple):
    """A schedule as lists show it; `disabled` are lines, `followers` only those that the user may see."""

    id: int
    owner: str
    name: str
    timezone: str
    disabled: tuple[str, ...]
    followers: tuple[Follower, ...]


def listed(user: User) -> OwnedQuerySet[Schedule]:
    """Return the schedules that the user may see, with their policies, sorted by owner and name."""
    rows = Schedule.objects.visible_to(user).select_related("owner")
    followers = Policy.objects.visible_to(user).select_related("owner").order_by("name")
    return rows.prefetch_related(Prefetch("policies", followers)).order_by(
        "owner__username", "name"
    )


def row(schedule: Schedule) -> ScheduleRow:
    """Return the schedule as lists show it; it must be read as by `listed`."""
    return ScheduleRow(
        id=schedule.pk,
        owner=schedule.owner.username,
        name=schedule.name,
        timezone=schedule.timezone,
        disabled=tuple(schedule.disabled),
        followers=tuple(
            Follower(policy.owner.username, policy.name, policy.enabled)
            for policy in schedule.policies.all()
        ),
    )
