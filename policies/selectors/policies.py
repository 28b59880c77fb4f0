"""Policies, with what is shown of one, in a fixed number of queries."""

from collections.abc import Sequence

from django.db.models import Prefetch

from policies.models import Policy, PolicyTarget, Schedule
from policies.models.querysets import OwnedQuerySet
from scripts_admin.models import User


def whole() -> OwnedQuerySet[Policy]:
    """Return the policies with what is shown of one, in a fixed number of queries and without secrets."""
    rows = Policy.objects.select_related("owner", "folder", "account", "last_run")
    return rows.defer("account__secret_access_key").prefetch_related(
        Prefetch("targets", PolicyTarget.objects.order_by("pk")),
        Prefetch("schedules", Schedule.objects.order_by("name")),
    )


def listed(user: User) -> OwnedQuerySet[Policy]:
    """Return the policies that the user may see, by owner and name."""
    return whole().visible_to(user).order_by("owner__username", "name")


def may_be_frozen(user: User) -> Sequence[Policy]:
    """Return the policies that may be frozen, as the user may see them."""
    rows = Policy.objects.visible_to(user).filter(may_be_frozen_since__isnull=False)
    return list(rows.select_related("owner").order_by("may_be_frozen_since"))
