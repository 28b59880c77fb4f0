"""Loaded by every Python of a server whose messages come twice: each message is queued twice."""

import sys
from typing import Any

FORKSERVER = "forkserver"  # the guards' parent stays as small as it is


def _double() -> None:
    from kombu.transport import redis  # noqa: PLC0415 - not in every process

    put = redis.Channel._put

    def twice(self: redis.Channel, queue: str, message: Any, **options: Any) -> None:
        put(self, queue, message, **options)
        put(self, queue, message, **options)

    redis.Channel._put = twice  # type: ignore[assignment,method-assign]


if not any(FORKSERVER in word for word in sys.orig_argv):
    _double()
