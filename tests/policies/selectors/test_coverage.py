"""What asks for coverage is an index search, on both databases, and asks no more for many than for few."""

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext

from n2wbackup.lib import clock
from policies.models import InventoryItem, InventoryPlace, PolicyTarget
from policies.selectors import coverage
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def _rows() -> None:
    """Many volumes of many owners, each but one backed up by itself: no id may look like a common value."""
    now = clock.now()
    for number in range(8):
        policy = factories.PolicyFactory.create()
        place = {"account": policy.account, "region": "us-east-1"}
        InventoryPlace.objects.create(**place, next_at=now, seen_at=now)
        ids = [f"vol-{number:08x}{n:09x}" for n in range(60)]
        InventoryItem.objects.bulk_create(
            InventoryItem(**place, kind="volume", resource_id=each, size_gib=1, first_seen_at=now)
            for each in ids
        )
        PolicyTarget.objects.bulk_create(
            PolicyTarget(policy=policy, volume_id=each, region="us-east-1") for each in ids[1:]
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def plan(rows: QuerySet[InventoryItem]) -> str:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
    return rows.explain()


@pytest.mark.usefixtures("_rows")
def test_each_instance_and_volume_is_looked_up_by_an_index() -> None:
    boss = factories.UserFactory.create(is_superuser=True)
    owner = PolicyTarget.objects.order_by("pk")[0].policy.owner

    for person in (boss, owner):
        found = plan(coverage.uncovered(person)[:50])
        assert "target_of_resource" in found
        if connection.vendor == "sqlite":  # PostgreSQL may read the few rows of a test as a whole
            assert "item_by_id" in found
            scans = [line for line in found.splitlines() if "SCAN" in line]
            assert [line for line in scans if "item_worst_first" not in line] == []
            assert "AUTOMATIC" not in found


@pytest.mark.usefixtures("_rows")
def test_a_count_and_a_page_ask_as_often_for_many_as_for_few() -> None:
    boss = factories.UserFactory.create(is_superuser=True)

    with CaptureQueriesContext(connection) as asked:
        assert coverage.uncovered_count(boss) == 8
        assert len([coverage.item(row) for row in coverage.shown(coverage.uncovered(boss))]) == 8

    assert len(asked) == 3


@pytest.mark.usefixtures("_rows")
def test_who_sees_very_many_gets_what_was_counted_at_the_last_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    boss = factories.UserFactory.create(is_superuser=True)
    for place in InventoryPlace.objects.all():
        assert coverage.uncovered_of(place) == 1
    InventoryPlace.objects.update(uncovered=3)
    assert coverage.uncovered_count(boss) == 8

    monkeypatch.setattr(coverage, "COUNTED", 100)

    assert coverage.uncovered_count(boss) == 24
    stranger = factories.UserFactory.create()
    assert coverage.uncovered_count(stranger) == 0
