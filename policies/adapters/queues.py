"""The broker's queues, by Celery.

Celery takes a tenth of a second to load. So `broker` loads this module with the first hint; processes
that stay load it at their start.
"""

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from kombu import Queue
from kombu.exceptions import ChannelError, OperationalError
from redis.exceptions import RedisError

from n2wbackup.celery import app
from n2wbackup.lib import home

log = logging.getLogger(__name__)


def put(task: str, run_id: UUID, server: str = "", *, more: Sequence[UUID] = ()) -> None:
    """Put the hint into its queue, or the server's own. No failure is raised, only logged: the row has changed."""
    try:
        app.send_task(task, args=[str(run_id), *map(str, more)], retry=False, **_where(server))
    except OperationalError:
        log.warning("the broker is away; the next tick sends %s of %s again", task, run_id)
    except Exception:
        log.exception("%s of %s could not be sent; the next tick sends it again", task, run_id)


def put_all(task: str, run_ids: Sequence[UUID]) -> None:
    """Put a hint for each into the queue, over one connection; no failure is raised, as in `put`.

    What comes after the first that cannot be sent is left to the tick: a broker that is away is away for all.
    """
    sent = 0
    try:
        with app.producer_or_acquire() as producer:
            for run_id in run_ids:
                app.send_task(task, args=[str(run_id)], retry=False, producer=producer)
                sent += 1
    except OperationalError:
        log.warning(
            "the broker is away; the next tick sends %s of %s runs again", task, len(run_ids) - sent
        )
    except Exception:
        log.exception(
            "%s of %s runs could not be sent; the next tick sends it again",
            task,
            len(run_ids) - sent,
        )


def holds(task: str, server: str = "") -> bool:
    """Tell whether the task's queue, or the server's own, has hints that no worker has taken."""
    queue = app.amqp.router.route(_where(server), task)["queue"]
    with app.connection_for_write() as connection:
        try:
            held = queue(connection.default_channel).queue_declare(passive=True)
        except (OperationalError, ChannelError, RedisError, OSError):
            return False  # no such list, which means an empty one, or the broker is away
        return bool(held.message_count)


def _where(server: str) -> dict[str, Any]:
    """Return Celery's option for the queue; another server's is none that this one knows by its name."""
    return {"queue": Queue(home.queue_of(server))} if server else {}
