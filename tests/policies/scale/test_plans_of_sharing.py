"""What others share with a person is found by an index too, be it a few policies or all of a big server."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db.models import QuerySet

from n2wbackup.lib import keyset
from policies.models import Policy
from policies.selectors import alarms, calendars, policies, runs, snapshots
from policies.selectors.alarms import Asked
from scripts_admin import permissions
from scripts_admin.domain.rights import Right
from scripts_admin.models import User
from tests.ground import plans
from tests.policies.scale.test_plans_of_the_dashboard import ASKED

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("history")]
PAGE = 50
# Ten thousand at most, and of those that are due later none else is read.
MAY = {"policies_policy": ""}


def newest(rows: QuerySet[Any], order: Sequence[str], person: User) -> object:
    return keyset.page(rows, order, PAGE, parts=permissions.parts(rows.model, person))


LISTS: Mapping[str, Callable[[User], object]] = ASKED | {
    "runs": lambda person: newest(runs.listed(person), runs.NEWEST, person),
    "failed runs": lambda person: newest(
        runs.listed(person).in_state("failed"), runs.NEWEST, person
    ),
    "snapshots": lambda person: newest(snapshots.listed(person), snapshots.NEWEST, person),
    "alarms": lambda person: alarms.page(person, Asked(), PAGE),
    "mutes": alarms.mutes,
    "calendar": calendars.of_visible,
    "one policy": lambda person: list(policies.whole().visible_to(person).filter(name="policy1")),
}


def guest(kind: str) -> User:
    """Return somebody with a few policies of somebody else, or an owner who has some beside their own."""
    rows = Policy.objects.order_by("pk")
    if kind == "owner with more":
        person = rows[0].owner
        assert isinstance(person, User)
        strange = rows.exclude(owner=person)
    else:
        person, strange = User.objects.create(username="guest"), rows
    group = Group.objects.create(name="night shift")
    person.groups.add(group)
    permissions.grant(person, strange[0], [Right.VIEW])
    for row in strange[1:3]:
        permissions.grant(group, row, [Right.RUN])
    return User.objects.get(pk=person.pk)


@pytest.mark.parametrize("kind", ["guest", "owner with more"])
def test_no_list_reads_a_table_that_grows(kind: str) -> None:
    person = guest(kind)
    found = {
        name: bad for name, ask in LISTS.items() if (bad := plans.bad(partial(ask, person), MAY))
    }
    assert not found, "\n".join(f"{name}: {one}" for name, bad in found.items() for one in bad)
