"""Schedules, with the policies that follow them."""

from django.db.models import Prefetch

from policies.models import Policy, Schedule
from policies.models.querysets import OwnedQuerySet
from scripts_admin.models import User


def listed(user: User) -> OwnedQuerySet[Schedule]:
    """Return the schedules that the user may see with the policies that follow them, by owner and name."""
    rows = Schedule.objects.visible_to(user).select_related("owner")
    followers = Policy.objects.visible_to(user).select_related("owner").order_by("name")
    return rows.prefetch_related(Prefetch("policies", followers)).order_by(
        "owner__username", "name"
    )
