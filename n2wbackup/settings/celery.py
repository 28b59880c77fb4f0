"""The queue. It carries hints only: each task claims its row, and a lost message is sent again."""

import os
import sys
from urllib.parse import quote

from django.core.exceptions import ImproperlyConfigured

from n2wbackup.settings import addresses
from n2wbackup.settings.env import own_queue, read, runtime_folder

__all__ = [
    "CELERY_ACCEPT_CONTENT",
    "CELERY_BEAT_SCHEDULER",
    "CELERY_BROKER_CONNECTION_MAX_RETRIES",
    "CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP",
    "CELERY_BROKER_TRANSPORT_OPTIONS",
    "CELERY_BROKER_URL",
    "CELERY_DB_REUSE_MAX",
    "CELERY_ENABLE_UTC",
    "CELERY_RESULT_BACKEND",
    "CELERY_TASK_ACKS_LATE",
    "CELERY_TASK_CREATE_MISSING_QUEUES",
    "CELERY_TASK_DEFAULT_QUEUE",
    "CELERY_TASK_IGNORE_RESULT",
    "CELERY_TASK_PUBLISH_RETRY",
    "CELERY_TASK_ROUTES",
    "CELERY_TASK_SERIALIZER",
    "CELERY_TIMEZONE",
    "CELERY_WORKER_ENABLE_REMOTE_CONTROL",
    "CELERY_WORKER_HIJACK_ROOT_LOGGER",
    "CELERY_WORKER_PREFETCH_MULTIPLIER",
    "CELERY_WORKER_REDIRECT_STDOUTS",
    "N2W_BROKER_SOCKET",
    "N2W_FREEZE_PROCESSES",
    "N2W_OWN_QUEUE",
    "N2W_REDIS_URL",
]

# Empty: `serve` starts an embedded Valkey.
_named = addresses.broker(read("REDIS_URL")) if read("REDIS_URL") else None
N2W_REDIS_URL = _named.url if _named else ""
# In memory: the broker never waits for a frozen disk, and the path is short enough for a socket.
N2W_BROKER_SOCKET = runtime_folder() / "broker.sock"

CELERY_BROKER_URL = (
    _named.queue_url if _named else f"redis+socket://{quote(str(N2W_BROKER_SOCKET))}"
)
# A worker waits for its broker without limit. A sender gives up soon, because a tick sends again; it also
# gives up soon if the broker accepts the connection and does not answer.
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.1,
    "interval_max": 0.2,
    "socket_connect_timeout": 2,
    "socket_timeout": 3,
    "socket_keepalive": True,
}
CELERY_TASK_PUBLISH_RETRY = False

# Celery would close the database connection after each task, and opening it costs more than a short task.
# Instead, n2wbackup/celery.py closes connections that are broken or old.
CELERY_DB_REUSE_MAX = sys.maxsize

CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
# Acknowledge early: with a late acknowledgement, one message ran several times at once.
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_ENABLE_UTC = True
CELERY_TIMEZONE = "UTC"

# Each server takes what needs its own spool from a queue of its own.
N2W_OWN_QUEUE = own_queue()
CELERY_TASK_DEFAULT_QUEUE = "work"
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_TASK_ROUTES = {
    "policies.tasks.freeze": {"queue": "freeze"},
    "policies.tasks.tick": {"queue": "tick"},
    "*": {"queue": "work"},
}

# Beat's schedule is kept in memory: there is no file to write, to lock or to break.
CELERY_BEAT_SCHEDULER = "n2wbackup.processes.beat:Scheduler"

_MOST_BY_DEFAULT, _MOST_PROCESSES = 8, 16


def _freeze_processes() -> int:
    cores = min(len(os.sched_getaffinity(0)), _MOST_BY_DEFAULT)
    text = read("N2W_FREEZE_PROCESSES", str(cores))
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= _MOST_PROCESSES:
        raise ImproperlyConfigured(
            f"N2W_FREEZE_PROCESSES is {text[:40]!r}: set it to a number of processes from 1 to {_MOST_PROCESSES}."
        )
    return int(text)


# Python's lock lets one process take one step at a time; all of them together open as many windows as one would.
N2W_FREEZE_PROCESSES = _freeze_processes()
