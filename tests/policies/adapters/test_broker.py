"""The question to the broker: whether it has hints that no worker has taken."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from kombu.exceptions import OperationalError

from n2wbackup.celery import app
from policies.adapters import broker as dispatch


@pytest.fixture
def broker() -> Iterator[None]:
    """Give the broker empty queues, before and after."""
    with app.connection_for_write() as connection:
        for queue in app.amqp.queues.values():
            queue(connection.default_channel).declare()
            queue(connection.default_channel).purge()
        yield
        for queue in app.amqp.queues.values():
            queue(connection.default_channel).purge()


def test_a_broker_that_holds_a_hint_is_behind_with_that_kind_alone(broker: None) -> None:
    assert not dispatch.is_behind(dispatch.FREEZE)

    dispatch.send(dispatch.FREEZE, uuid4())

    assert dispatch.is_behind(dispatch.FREEZE)
    assert not dispatch.is_behind(dispatch.COMPLETE)


def test_a_broker_that_is_away_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("away")

    with app.connection_for_write() as connection:
        channel = type(connection.default_channel)
    monkeypatch.setattr(channel, "queue_declare", away)

    assert not dispatch.is_behind(dispatch.FREEZE)
