"""The places of a worker: so many messages it takes from the broker before it has begun their tasks.

Kombu gives a place free when the message is acknowledged. If the broker dies just then, it would stay
taken. A worker without a free place reads nothing, so it would not even notice that its connection is
gone: it would stand still until somebody restarts it.
"""

from typing import Any

from kombu.transport import redis, virtual


class _Qos(redis.QoS):
    """Kombu's acknowledgements, which free their place also if the broker cannot be told."""

    def ack(self, delivery_tag: Any) -> None:  # noqa: ANN401 - whatever kombu made
        """Tell the broker, and free the place in any case."""
        try:
            super().ack(delivery_tag)
        except Exception:
            virtual.QoS.ack(self, delivery_tag)
            raise


def keep_free() -> None:
    """Have all connections of this process to a broker free their places so."""
    redis.Channel.QoS = _Qos
