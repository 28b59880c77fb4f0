"""Alice's account, its AWS, and a clock that stands still between the refreshes."""

from collections.abc import Iterator

import pytest
import time_machine

from policies.adapters.memory import MemoryCloud
from policies.models import Account
from policies.services.entry import chosen
from tests import factories


@pytest.fixture(autouse=True)
def moment() -> Iterator[time_machine.Traveller]:
    """Let the clock stand still, until a test moves it."""
    with time_machine.travel("2026-11-28T12:00:00+00:00", tick=False) as traveller:
        yield traveller


@pytest.fixture
def account(db: None, cloud: MemoryCloud) -> Account:
    """Give Alice's account, with the place of its region."""
    made = factories.AccountFactory.create(owner=factories.alice())
    chosen.follow(made)
    return made
