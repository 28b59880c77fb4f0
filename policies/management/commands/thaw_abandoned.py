"""Do one pass of the watchdog."""

import os
import time
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError, InterfaceError

from n2wbackup.lib import home, trouble, trust
from policies.management import output
from policies.services.alarms import delivering
from policies.services.watch import abandoned

PAUSE_SECONDS = 0.1


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from thawing or looking
    help = (
        "Do one pass of the watchdog: thaw what no process keeps. Then enter the results into the database, and "
        "send alarms."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the counts as JSON")

    def handle(self, **options: Any) -> None:
        """Thaw, wait for the started attempts, and enter the results. The counts come in any case."""
        _refuse_strangers()
        for problem in home.problems():
            self.stderr.write(problem)
        try:
            thawer = abandoned.Thawer(home.spool(), home.runtime_to_thaw())
            started = thawer.turn()
            while not thawer.reap():
                time.sleep(PAUSE_SECONDS)
        except OSError as error:
            raise CommandError(
                f"The spool of {settings.N2W_HOME} cannot be read ({error}): correct it, and run this again."
            ) from error
        sent, problem = _enter()
        open_windows = thawer.standing()
        counts = {
            "looked_at": started,
            "still_open": open_windows,
            "not_trusted": thawer.untrusted(),
            "messages": sent,
        }
        if options["json"]:
            self.stdout.write(output.as_json(counts))
        else:
            self.stdout.write(
                f"Checked {started} windows; {open_windows} are still open. Tried to send {sent} messages."
            )
        if problem:
            raise CommandError(problem)


def _enter() -> tuple[int, str]:
    """Enter the results and send alarms; return how many were sent, and a sentence if that failed."""
    try:
        abandoned.enter_all()
        return delivering.send_all(), ""
    except (DatabaseError, InterfaceError) as error:
        return 0, (
            "The windows were looked after, but the results could not be entered: "
            f"{trouble.of_database(error) or error} Run this again when the database is back."
        )


def _refuse_strangers() -> None:
    """Refuse an account that can neither read the spool nor become the scripts' account."""
    owner, own = settings.N2W_HOME.stat().st_uid, os.geteuid()
    if own in {0, owner}:
        return
    whose, ours = trust.account(owner), trust.account(own)
    raise CommandError(
        f"{settings.N2W_HOME} belongs to {whose}, and this command runs as {ours}, which cannot thaw: "
        f"run it as {whose}."
    )
