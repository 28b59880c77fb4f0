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
    """Send no hints for these tasks inside the block: the caller does their work itself."""
    token = _silent.set(_silent.get() | tasks)
    try:
        yield
    finally:
        _silent.reset(token)


def on_commit(task: str, run_id: UUID) -> None:
    """Send the hint after the transaction has committed."""
    transaction.on_commit(partial(send, task, run_id))


def send(task: str, run_id: UUID) -> None:
    """Send the hint now; an unreachable broker is no failure, as a tick sends the hint again."""
    if task in _silent.get():
        return
    try:
        current_app.send_task(task, args=[str(run_id)], retry=False)
    except OperationalError:
        log.warning("the broker is away; the next tick sends %s of %s again", task, run_id)


def is_behind(task: str) -> bool:
    """Tell whether hints for such tasks wait in the broker: then the workers are busy, and no hint is lost."""
    queue = current_app.amqp.router.route({}, task)["queue"]
    with current_app.connection_for_write() as connection:
        try:
            held = queue(connection.default_channel).queue_declare(passive=True)
        except (OperationalError, ChannelError, RedisError):
            return False  # no such list, which means an empty one, or the broker is away
        return bool(held.message_count)
