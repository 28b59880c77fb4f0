"""Thaw what no process keeps and send alarms, in a loop. Thawing needs neither broker nor database."""

import logging
import time
from typing import Any

from django.db import DatabaseError, OperationalError, close_old_connections

from n2wbackup.lib import home
from n2wbackup.processes import titles
from n2wbackup.processes.beside import Beside
from policies.adapters import queues  # noqa: F401 - an upgrade may remove it while this process runs
from policies.management import output
from policies.services.watch import abandoned, post_office
from policies.services.watch.from_spool import SpoolAlarms
from scripts_admin.guard import keeper

log = logging.getLogger(__name__)

TURN_SECONDS = 0.25
ENTER_SECONDS = 1.0


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from thawing or looking
    help = "Thaw what a dead worker left frozen, record it in the database, and send alarms. Part of serve."

    def handle(self, **_options: Any) -> None:
        """Loop until the process is ended."""
        titles.show("watchdog")
        home.keep_temporary_files_in_memory()
        # Before the forkserver, as the child needs nothing of it.
        clerk = Beside("watchdog's clerk", _keep_the_rows)
        clerk.keep()
        keeper.warm()
        thawer = abandoned.Thawer(home.spool(), home.runtime_to_thaw())
        while True:
            try:
                thawer.turn()
            except Exception:
                log.exception("one turn of the watchdog failed; the next one follows")
            clerk.keep()
            time.sleep(TURN_SECONDS)


def _keep_the_rows() -> None:
    """Send alarms, and enter what happened into the database.

    It may hang on a frozen disk or an unreachable database: no process waits for it.
    """
    post_office.start(SpoolAlarms(home.spool(), home.runtime_to_thaw()))
    while True:
        try:
            abandoned.enter_all()
        except (DatabaseError, OperationalError) as error:
            log.warning("the database cannot be reached; what happened is entered later: %s", error)
            close_old_connections()
        except Exception:
            log.exception(
                "entering what happened into the database failed; the next turn tries again"
            )
        time.sleep(ENTER_SECONDS)
