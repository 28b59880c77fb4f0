"""What the dashboard and the list of policies ask is found by an index, for everybody."""

from collections.abc import Callable
from functools import partial

import pytest

from n2wbackup.lib import clock
from policies.models import Policy
from policies.selectors import calendars, dashboard, health, policies, protection, windows
from policies.views import filters
from policies.views.filters import Chosen
from scripts_admin.models import User
from tests.ground import plans

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("history")]


def parts_of_the_server(_: User) -> object:
    return health.parts(health.own_row())


def listed(person: User, chosen: Chosen) -> object:
    rows = filters.matching(dashboard.policies(person), chosen, clock.now())
    return filters.page(rows, chosen, 50)


ASKED: dict[str, Callable[[User], object]] = {
    "worst": dashboard.worst,
    "failing": dashboard.failing,
    "coming": dashboard.coming,
    "frozen": lambda person: policies.may_be_frozen(person, 6),
    "running": dashboard.running,
    "lost": dashboard.lost,
    "health": parts_of_the_server,
    "days": lambda _: calendars.of_policies([1, 2, 3]),
    "list": lambda person: listed(person, Chosen()),
    "next page": lambda person: listed(person, Chosen(after="2026-01-01T00:00:00+00:00_1")),
    **{f"list of {state}": partial(listed, chosen=Chosen(state)) for state in filters.STATES},
}


def person(kind: str) -> User:
    if kind == "boss":
        return User.objects.get(username="boss")
    owner = Policy.objects.select_related("owner").order_by("pk")[0].owner
    assert isinstance(owner, User)
    return owner


@pytest.mark.parametrize("kind", ["boss", "owner"])
def test_no_part_reads_a_table_that_grows(kind: str) -> None:
    who = person(kind)
    found = {name: bad for name, ask in ASKED.items() if (bad := plans.bad(partial(ask, who)))}
    assert not found, "\n".join(f"{name}: {one}" for name, bad in found.items() for one in bad)


def test_only_the_number_of_all_policies_is_counted_as_a_whole() -> None:
    who = person("boss")
    bad = plans.bad(partial(protection.counts, who))
    assert [one.sql for one in bad if "WHERE" in one.sql] == []


def test_a_policy_reads_its_own_windows() -> None:
    policy = Policy.objects.order_by("pk")[0]
    assert not plans.bad(lambda: (windows.trend(policy), dashboard.lost(policy.owner, policy)))
