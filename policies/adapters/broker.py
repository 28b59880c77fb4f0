"""Hints to the workers: sent on commit, ids only. A hint may be lost or doubled; the row decides."""

import logging
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from uuid import UUID

from celery import current_app
from django.db import transaction
from kombu.exceptions import ChannelError, OperationalError
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

FREEZE = "policies.tasks.freeze"
COMPLETE = "policies.tasks.complete"
TAG = "policies.tasks.tag"


EVERY = frozenset({FREEZE, COMPLETE, TAG})
_silent: ContextVar[AbstractSet[str]] = ContextVar("silent", default=frozenset())


@contextmanager
def silenced(tasks: AbstractSet[str] = EVERY) -> Iterator[None]:
    """Send no hint for these tasks in this block: the caller does their work itself."""
    token = _silent.set(_silent.get() | tasks)
    try:
        yield
    finally:
        _silent.reset(token)


def on_commit(task: str, run_id: UUID) -> None:
    """Send the hint once the transaction is in."""
    transaction.on_commit(partial(send, task, run_id))


def send(task: str, run_id: UUID) -> None:
    """Send the hint now; a broker that is away is no failure, as a tick sends again."""
    if task in _silent.get():
        return
    try:
        current_app.send_task(task, args=[str(run_id)], retry=False)
    except OperationalError:
        log.warning("broker away, %s of %s is sent again by the next tick", task, run_id)


def is_behind(task: str) -> bool:
    """Tell whether the broker still holds hints for such tasks: then workers are busy, and nothing is lost."""
    queue = current_app.amqp.router.route({}, task)["queue"]
    with current_app.connection_for_write() as connection:
        try:
            held = queue(connection.default_channel).queue_declare(passive=True)
        except (OperationalError, ChannelError, RedisError):
            return False  # no such list, which is an empty one, or no broker to ask
        return bool(held.message_count)
