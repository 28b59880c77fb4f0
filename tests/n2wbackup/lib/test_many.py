"""Many rows are changed by one statement, each to values of its own."""

from datetime import timedelta

import pytest

from n2wbackup.lib import clock, many
from policies.models import Policy
from tests import factories
from tests.ground import costs

pytestmark = pytest.mark.django_db
NAMES = ("requires", "protected_until", "last_run", "failed_since")


def test_each_row_gets_its_own_values_and_no_other_row_changes() -> None:
    now = clock.now()
    run = factories.RunFactory.create()
    one, other, third = factories.PolicyFactory.create_batch(3)

    with costs.counted() as cost:
        many.update_each(
            Policy,
            NAMES,
            {one.pk: ["crash", now, run.pk, None], other.pk: ["application", now, None, now]},
        )

    assert cost.statements == 1
    rows = Policy.objects.order_by("pk").filter(pk__in=[one.pk, other.pk, third.pk])
    found = [many.values_of(row, NAMES) for row in rows]
    assert found[0] == ["crash", now, run.pk, None]
    assert found[1] == ["application", now, None, now]
    assert found[2] == many.values_of(third, NAMES)


def test_nothing_to_change_asks_nothing_and_what_is_gone_is_no_error() -> None:
    with costs.counted() as cost:
        many.update_each(Policy, NAMES, {})
    assert cost.statements == 0

    later = clock.now() + timedelta(days=1)
    many.update_each(Policy, NAMES, {0: ["crash", later, None, None]})
    assert not Policy.objects.filter(protected_until=later).exists()
