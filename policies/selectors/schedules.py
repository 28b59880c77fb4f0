"""Schedules with the policies that follow them."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db.models import Count

from policies.models import Policy, Schedule
from policies.models.querysets import OwnedQuerySet
from scripts_admin.models import User

BY_OWNER = ("owner__username", "name")  # as keyset takes it
FOLLOWERS = 20  # named in a list


class Follower(NamedTuple):
    owner: str
    name: str
    enabled: bool


class ScheduleRow(NamedTuple):
    """A schedule as lists show it; `disabled` are lines, `followers` only those that the user may see.

    Of many followers the first are named, and `more` says how many others there are.
    """

    id: int
    owner: str
    name: str
    timezone: str
    disabled: tuple[str, ...]
    followers: tuple[Follower, ...]
    more: int = 0


def listed(user: User) -> OwnedQuerySet[Schedule]:
    """Return the schedules that the user may see, sorted by owner and name."""
    rows = Schedule.objects.visible_to(user).select_related("owner")
    return rows.order_by(*BY_OWNER)


def rows(schedules: Sequence[Schedule], user: User) -> list[ScheduleRow]:
    """Return some schedules as lists show them, each with its first followers that the user may see."""
    seen = Policy.objects.visible_to(user)
    keys = [schedule.pk for schedule in schedules]
    counted = seen.filter(schedules__in=keys).order_by().values_list("schedules")
    counts = dict(counted.annotate(Count("pk")))
    few = [key for key, count in counts.items() if count <= FOLLOWERS]
    found: dict[int, list[Follower]] = defaultdict(list)
    for key, *about in _followers(seen.filter(schedules__in=few)):
        found[key].append(Follower(*about))
    for key in counts.keys() - set(few):
        first = _followers(seen.filter(schedules=key))[:FOLLOWERS]
        found[key] = [Follower(*about) for _, *about in first]
    return [_row(each, found[each.pk], counts.get(each.pk, 0)) for each in schedules]


def _followers(policies: OwnedQuerySet[Policy]) -> Any:  # noqa: ANN401 - a queryset of tuples
    return policies.order_by("name").values_list("schedules", "owner__username", "name", "enabled")


def _row(schedule: Schedule, followers: Sequence[Follower], number: int) -> ScheduleRow:
    return ScheduleRow(
        id=schedule.pk,
        owner=schedule.owner.username,
        name=schedule.name,
        timezone=schedule.timezone,
        disabled=tuple(schedule.disabled),
        followers=tuple(followers),
        more=number - len(followers),
    )
