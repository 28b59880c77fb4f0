"""Do one pass of the watchdog."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from n2wbackup.lib import home
from policies.management import output
from policies.services.alarms import delivering
from policies.services.watch import abandoned

PAUSE_SECONDS = 0.1


class Command(BaseCommand):
    requires_system_checks = []  # a wrong setting must not stop anybody from thawing or looking
    help = (
        "Do one pass of the watchdog: thaw what no process keeps. Then enter the results into the database, and "
        "send alarms."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the counts as JSON")

    def handle(self, **options: Any) -> None:
        """Thaw, wait for the started attempts, and enter the results."""
        thawer = abandoned.Thawer(home.spool(), home.runtime())
        started = thawer.turn()
        while not thawer.reap():
            time.sleep(PAUSE_SECONDS)
        abandoned.enter_all()
        sent = delivering.send_all()
        open_windows = thawer.standing()
        counts = {"looked_at": started, "still_open": open_windows, "messages": sent}
        if options["json"]:
            self.stdout.write(output.as_json(counts))
        else:
            self.stdout.write(
                f"Checked {started} windows; {open_windows} are still open. Tried to send {sent} messages."
            )
