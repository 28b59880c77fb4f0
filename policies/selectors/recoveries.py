"""Recoveries for lists and pages, each as its reader may see it."""

from uuid import UUID

from django.db.models import QuerySet

from policies.domain.errors import InputError
from policies.models import Policy, Recovery
from scripts_admin.models import User

MOST = 200


def whole() -> QuerySet[Recovery]:
    """Return the recoveries with what a report of each needs."""
    return Recovery.objects.select_related("run", "policy").prefetch_related(
        "resources", "steps", "events"
    )


def newest(person: User | None, policy: Policy | None = None, limit: int = MOST) -> list[Recovery]:
    """Return the newest ones that the person may see; None is this machine's command line."""
    rows = Recovery.objects.all() if person is None else Recovery.objects.visible_to(person)
    if policy is not None:
        rows = rows.filter(policy=policy)
    return list(rows.prefetch_related("resources").order_by("-asked_at")[:limit])


def named(text: str) -> Recovery:
    """Return the recovery with this id; InputError if there is none."""
    try:
        found = whole().filter(pk=UUID(text)).first()
    except ValueError:
        found = None
    if found is None:
        raise InputError(f"There is no recovery {text[:60]!r}: list_recoveries shows the newest.")
    return found
