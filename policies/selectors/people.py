"""Who may what, in words, for the pages of people."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db.models import Count, F, QuerySet

from policies.models import Account, Policy
from scripts_admin.models import FolderUserPermission, User
from scripts_admin.services import second_factors, sessions


class PersonRow(NamedTuple):
    """A person as the list shows them; `rights` are sentences without a full stop."""

    id: int
    name: str
    whole_name: str
    email: str
    is_active: bool
    has_password: bool
    has_second_factor: bool
    sessions: int
    last_login: datetime | None
    rights: tuple[str, ...]


def listed() -> QuerySet[User]:
    """Return all users, those who can log in first, with the groups that give rights."""
    return User.objects.order_by("-is_active", "username").prefetch_related("groups")


def rows(people: Sequence[User]) -> list[PersonRow]:
    """Return what the list says of these people, in a fixed number of queries."""
    keys = [person.pk for person in people]
    owned = Policy.objects.filter(owner__in=keys).values_list("owner").annotate(Count("pk"))
    counts: dict[int, int] = dict(owned.order_by())
    opened, lent = sessions.counts(people), _lent(keys)
    protected = second_factors.with_one(people)
    return [
        PersonRow(
            person.pk,
            person.username,
            person.get_full_name(),
            person.email,
            person.is_active,
            person.has_usable_password(),
            person.pk in protected,
            opened.get(person.pk, 0),
            person.last_login,
            _rights(person, counts.get(person.pk, 0), lent.get(person.pk, [])),
        )
        for person in people
    ]


def goes_on(person: User) -> QuerySet[Policy]:
    """Return the policies of the person that start by themselves, whoever is logged in."""
    return Policy.objects.filter(owner=person, enabled=True).order_by("name")


def fails(person: User) -> int:
    """Return how many of those fail once the person is deactivated: who may not log in lends no right."""
    return goes_on(person).filter(account__auth=Account.Auth.INSTANCE).count()


def _lent(keys: list[int]) -> dict[int, list[str]]:
    """Return the names of the folders of others that each of the people may use."""
    found: dict[int, list[str]] = {}
    rows = FolderUserPermission.objects.filter(user__in=keys).exclude(
        content_object__owner=F("user")
    )
    for key, name in rows.values_list("user_id", "content_object__name").order_by(
        "content_object__name"
    ):
        found.setdefault(key, []).append(name)
    return found


def _rights(person: User, policies: int, lent: list[str]) -> tuple[str, ...]:
    if person.is_superuser:
        said = ["may do everything, also with what others own"]
    else:
        said = ["sees and runs what they own"]
        if person.is_staff:
            said.append("has the admin pages")
        if lent:
            said.append(f"uses the scripts of {', '.join(lent)}")
    groups = [group.name for group in person.groups.all()]
    if groups:
        said.append(f"has the rights of {', '.join(groups)}")
    said.append(f"owns {policies} polic{'y' if policies == 1 else 'ies'}")
    return tuple(said)
