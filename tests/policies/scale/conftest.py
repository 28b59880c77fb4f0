"""A small history, made once for the tests of a file, and taken back after them."""

from collections.abc import Iterator

import pytest
from django.db import transaction
from pytest_django.plugin import DjangoDbBlocker

from tests.bench.history import making
from tests.bench.history.sizes import SMALL
from tests.ground import plans
from tests.policies.fixtures import *  # noqa: F403

TIMES = 250  # the planner is told of a million runs


@pytest.fixture(scope="module")
def history(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Give the database years of work. A test within has a transaction of its own, inside this one."""
    with django_db_blocker.unblock(), transaction.atomic():
        for _ in making.make(SMALL):
            pass
        plans.enlarge(TIMES)
        yield
        transaction.set_rollback(True)
