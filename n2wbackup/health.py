"""Whether this server is alive and can work, for load balancers and for `serve`."""

import json
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from n2wbackup.lib import trouble

LIVE_PATH, READY_PATH = "/health/live", "/health/ready"
_BROKER_SECONDS = 1
_Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def apart(application: _Application, is_stuck: Callable[[], bool]) -> _Application:
    """Answer `/health/live` without Django: 200 while requests are answered, 503 while all of them wait.

    It waits for nothing: neither a lock, nor a disk, nor the database.
    """

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != LIVE_PATH or environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return application(environ, start_response)
        status, word = ("503 Service Unavailable", "stuck") if is_stuck() else ("200 OK", "ok")
        body = json.dumps({"status": word}).encode()
        headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        start_response(status, [*headers, ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    return answer


@require_safe
@never_cache
def live(_request: HttpRequest) -> JsonResponse:
    """Answer 200 if this process answers at all; nothing else is checked."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def ready(_request: HttpRequest) -> JsonResponse:
    """Answer 200 if pages work, 503 if the database is away or not migrated.

    If the broker is away, the answer is 200 and `degraded`: pages work without it, and hints are sent again when
    it is back. A 503 would make the balancer hide the pages from the people who have to look at the problem.
    """
    database = _database()
    broker = "ok" if broker_answers() else "away"
    healthy = database == "ok"
    status = "unavailable" if not healthy else "ok" if broker == "ok" else "degraded"
    answer = {"status": status, "database": database, "broker": broker}
    return JsonResponse(answer, status=200 if healthy else 503)


def unapplied_migrations() -> list[str]:
    """Return `app.name` of each migration that the database lacks, in order. Raises DatabaseError."""
    return trouble.unapplied_migrations(connection)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        _require_migrations()
    except DatabaseError:
        return "away"
    except LookupError:
        return "not migrated"
    return "ok"


@cache
def _require_migrations() -> None:
    # Only success is cached: the code of a running process does not change, and reading the plan
    # takes long.
    missing = unapplied_migrations()
    if missing:
        raise LookupError(missing[0])


def broker_answers() -> bool:
    url = settings.N2W_REDIS_URL or f"unix://{settings.N2W_BROKER_SOCKET}"
    seconds = _BROKER_SECONDS
    try:
        with redis.Redis.from_url(
            url, socket_timeout=seconds, socket_connect_timeout=seconds
        ) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError, ValueError):
        return False
