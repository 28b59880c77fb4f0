"""Thaw what no process keeps and send alarms, in a loop. Thawing needs neither broker nor database."""

import logging
import signal
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

from django.db import DatabaseError, OperationalError, close_old_connections

from n2wbackup.lib import clock, home
from n2wbackup.processes import titles
from n2wbackup.processes.beside import Beside
from policies.management import output
from policies.services.servers import copies, heart
from policies.services.watch import abandoned, adopting, images_left, post_office
from policies.services.watch.from_spool import SpoolAlarms
from scripts_admin.guard import keeper
from scripts_admin.services import ssh_logins

log = logging.getLogger(__name__)

TURN_SECONDS = 0.25
ENTER_SECONDS = 1.0
COMPARE_SECONDS = 10.0
REAP_SECONDS = 60.0
STOP_SECONDS = 5.0  # for the last heartbeat


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from thawing or looking
    help = "Thaw what a dead worker left frozen, record it in the database, and send alarms. Part of serve."

    def handle(self, **_options: Any) -> None:
        """Loop until SIGTERM."""
        titles.show("watchdog")
        home.keep_temporary_files_in_memory()
        import_module(
            "policies.adapters.queues"
        )  # an upgrade may remove it while this process runs
        # Before the forkserver, as the child needs nothing of it.
        clerk = Beside("watchdog's clerk", _keep_the_rows)
        clerk.keep()
        keeper.warm()
        thawer = abandoned.Thawer(home.spool(), home.runtime_to_thaw())
        leaving = _leaving()
        while not leaving.is_set():
            try:
                thawer.turn()
            except Exception:
                log.exception("one turn of the watchdog failed; the next one follows")
            clerk.keep()
            leaving.wait(TURN_SECONDS)
        clerk.end(STOP_SECONDS)


def _leaving() -> threading.Event:
    """Return an event that SIGTERM sets."""
    leaving = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: leaving.set())
    return leaving


def _keep_the_rows() -> None:
    """Send alarms, look after the other servers, and enter what happened into the database.

    It may hang on a frozen disk or an unreachable database: no process waits for it.
    """
    leaving, others = _leaving(), heart.Others()
    post_office.start(SpoolAlarms(home.spool(), home.runtime_to_thaw()))
    # In a thread of its own: a frozen disk must not make this server look dead.
    with heart.beating(lambda: _look_after(others)):
        compare_at, reap_at, reaper = 0.0, 0.0, images_left.Reaper()
        while not leaving.is_set():
            _enter(abandoned.enter_all)
            if clock.boottime() >= compare_at:
                _enter(copies.enter)
                _enter(ssh_logins.follow)
                compare_at = clock.boottime() + COMPARE_SECONDS
            if clock.boottime() >= reap_at:
                _enter(reaper.turn)
                reap_at = clock.boottime() + REAP_SECONDS
            leaving.wait(ENTER_SECONDS)
    heart.stop()


def _look_after(others: heart.Others) -> None:
    others.look()
    adopting.adopt()


def _enter(what: Callable[[], object]) -> None:
    try:
        what()
    except (DatabaseError, OperationalError) as error:
        log.warning("the database cannot be reached; what happened is entered later: %s", error)
        close_old_connections()
    except Exception:
        log.exception("entering what happened into the database failed; the next turn tries again")
