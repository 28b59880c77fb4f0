"""What a worker keeps of a message that it could not acknowledge any more."""

import logging
from pathlib import Path
from typing import Any

import kombu
import pytest
from kombu import Queue
from kombu.message import Message
from kombu.transport import redis

from n2wbackup.processes import places
from tests.ground import processes, valkey

log = logging.getLogger(__name__)


@pytest.fixture(autouse=True)
def kept_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis.Channel, "QoS", redis.QoS)
    places.keep_free()


@pytest.mark.parametrize("count", [1, 3])
def test_a_worker_reads_on_after_its_broker_went_before_it_could_acknowledge(count: int) -> None:
    with processes.folder() as folder, _connected(folder) as connection:
        with valkey.running(folder):
            taken = _take(connection, count)
            qos = _qos(taken[0])
            assert not qos.can_consume()
        for message in taken:
            message.ack_log_error(log, connection.connection_errors)

    assert qos.can_consume()


def test_an_acknowledged_message_frees_one_place() -> None:
    with processes.folder() as folder, _connected(folder) as connection, valkey.running(folder):
        taken = _take(connection, 2)
        qos = _qos(taken[0])

        taken[0].ack()

        assert qos.can_consume()
        assert len(qos._delivered) - len(qos._dirty) == 1


def test_a_broker_that_hears_of_it_forgets_the_message() -> None:
    with processes.folder() as folder, _connected(folder) as connection, valkey.running(folder):
        channel: Any = connection.default_channel
        (message,) = _take(connection, 1)
        assert channel.client.hlen(channel.unacked_key) == 1

        message.ack()

        assert channel.client.hlen(channel.unacked_key) == 0


def _connected(folder: Path) -> kombu.Connection:
    options = {"max_retries": 1}  # a broker that is away is told soon
    return kombu.Connection(f"redis+socket://{folder}/valkey.sock", transport_options=options)


def _qos(message: Message) -> Any:
    assert message.channel is not None
    return message.channel.qos


def _take(connection: kombu.Connection, count: int) -> list[Message]:
    """Take so many messages with so many places: none is free then."""
    queue, taken = Queue("tick"), list[Message]()
    channel = connection.default_channel
    for number in range(count):
        kombu.Producer(channel).publish(number, routing_key="tick", declare=[queue])
    consumer = kombu.Consumer(channel, [queue], on_message=taken.append)
    consumer.qos(prefetch_count=count)
    consumer.consume()
    while len(taken) < count:
        connection.drain_events(timeout=60)
    return taken
