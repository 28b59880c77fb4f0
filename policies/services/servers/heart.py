"""Heartbeats: each server enters its own, and notices which of the others have stopped.

The clocks of two machines are never compared: a server is gone if its heartbeat has not changed for some
time by the clock of the one who looks. Who could not reach the database itself begins to look anew.
"""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from n2wbackup import VERSION
from n2wbackup.lib import clock, encrypted, home
from n2wbackup.lib.cas import compare_and_set
from policies.domain.runs import sequence
from policies.models import Run, Server

log = logging.getLogger(__name__)

BEATS = 12  # so many must be missed
LAST_SECONDS = 2.0


def host() -> str:
    """Return the name of this machine."""
    return socket.gethostname()[:255]


def enter() -> None:
    """Enter this server if it has no row yet, as one that stands still: its heartbeat may come later, or never.

    Every server that has made snapshots has a row, so reconcile knows whose snapshots are ours.
    """
    now = clock.now()
    facts = {"host": host(), "version": VERSION, "keys": encrypted.fingerprints()}
    times = {"first_seen_at": now, "heartbeat_at": now, "stopped_at": now}
    Server.objects.get_or_create(pk=home.server_id(), defaults=facts | times)


def beat() -> bool:
    """Enter that this server is alive; True if others had taken it for gone."""
    now, mine = clock.now(), home.server_id()
    facts = {
        "host": host(),
        "version": VERSION,
        "keys": encrypted.fingerprints(),
        "heartbeat_at": now,
        "stopped_at": None,
        "removed_at": None,
    }
    _, is_new = Server.objects.get_or_create(pk=mine, defaults={**facts, "first_seen_at": now})
    row = Server.objects.filter(pk=mine)
    was_gone = not is_new and row.filter(gone_at__isnull=False).exists()
    row.update(**facts, gone_at=None)
    if was_gone:
        # If it goes again, that is told again.
        open_ones = Run.objects.unfinished(*sequence.MAY_BE_FROZEN).filter(server=mine)
        open_ones.update(server_gone_at=None)
        log.warning("this server was taken for gone, because its heartbeat had stopped; it is back")
    return was_gone


def stop() -> None:
    """Enter that this server stops in order."""
    Server.objects.filter(pk=home.server_id()).update(stopped_at=clock.now())


class Others:
    """Watches the heartbeats of the other servers, from one process."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        self._seen: dict[str, tuple[datetime, float]] = {}  # the last heartbeat, and since when
        self._looked_at: float | None = None

    def look(self) -> list[Server]:
        """Return the servers that have just been found to be gone."""
        limit, now = settings.N2W_SERVER_GONE_SECONDS, clock.boottime()
        if self._looked_at is None or now - self._looked_at > limit / 2:
            self._seen.clear()  # the silence may have been ours
        self._looked_at = now
        others = Server.objects.exclude(pk=home.server_id()).filter(gone_at=None)
        return [server for server in others if self._is_gone(server, now, limit)]

    def _is_gone(self, server: Server, now: float, limit: float) -> bool:
        mark, since = self._seen.get(server.pk, (None, now))
        if server.heartbeat_at != mark:
            self._seen[server.pk] = (server.heartbeat_at, now)
            return False
        if now - since < limit:
            return False
        same = Server.objects.filter(pk=server.pk)
        expected = {"heartbeat_at": server.heartbeat_at, "gone_at": None}
        if not compare_and_set(same, expected, gone_at=clock.now()):
            return False
        log.error("the heartbeat of server %s has stopped: it is gone", server)
        return True


@contextmanager
def beating(then: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Beat in a thread of this process during the block; `then` is called after each beat."""
    over = threading.Event()
    thread = threading.Thread(target=_beat_until, args=(over, then), name="heart", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(LAST_SECONDS)  # a beat that is under way must not follow on what comes next


def _beat_until(over: threading.Event, then: Callable[[], object]) -> None:
    is_away = False
    while not over.is_set():
        try:
            beat()
            then()
            is_away = False
        except (DatabaseError, InterfaceError) as error:
            if not is_away:  # once: repeated lines say nothing more
                log.warning("the database is away; this server's heartbeat stops: %s", error)
            is_away = True
            close_old_connections()
        except Exception:
            log.exception("a heartbeat failed; the next one follows")
        over.wait(settings.N2W_SERVER_GONE_SECONDS / BEATS)
    connection.close()
