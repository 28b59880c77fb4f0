"""`manage.py serve`: the whole server in the foreground."""

import logging
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection

from n2wbackup import health
from n2wbackup.lib import home
from n2wbackup.lib.home import RuntimeFolderError
from n2wbackup.processes import supervisor
from policies.services.watch import abandoned

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Run web, workers, beat, watchdog and (when REDIS_URL is unset) the broker, in the "
        "foreground, and start again at once what dies. One server per N2W_HOME. SIGTERM, SIGINT "
        "or SIGHUP: no new window is opened, open ones are fired and thawed, then it exits with 0. "
        "What an earlier server left frozen is thawed first, also where this one is refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--only",
            choices=supervisor.SINGLE,
            help="become this one program, for a service manager that starts it again when it dies "
            "(and `manage.py watchdog` beside it)",
        )

    def execute(self, *args: Any, **options: Any) -> str | None:
        # Before the system checks: one that fails must leave nothing frozen.
        if options["only"] is None:
            _thaw_first()
        return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        only: str | None = options["only"]
        if only != "valkey":
            self._refuse_unmigrated()
        # This process becomes another program, and takes no connection along.
        connection.close()
        try:
            if only is None:
                supervisor.run()
            else:
                supervisor.become(only)
        except (supervisor.CannotServeError, RuntimeFolderError, OSError) as error:
            raise CommandError(str(error)) from error

    def _refuse_unmigrated(self) -> None:
        try:
            missing = health.unapplied_migrations()
        except DatabaseError as error:
            # What is frozen can be thawed without it, so this must not keep the watchdog away.
            self.stderr.write(
                f"The database cannot be reached ({error}): start it, or correct DATABASE_URL. "
                "Until then nothing is backed up; what is frozen is thawed."
            )
            return
        if missing:
            raise CommandError(
                f"The database lacks {len(missing)} migrations, the first is {missing[0]}: "
                "run `manage.py migrate` first."
            )


def _thaw_first() -> None:
    """Start the thaw of what nobody keeps: it waits for no database, port or broker of ours.

    The guards go on by themselves; what has to be repeated is the watchdog's.
    """
    try:
        home.keep_temporary_files_in_memory()
        abandoned.Thawer(home.spool(), home.runtime()).turn()
    except Exception:
        log.exception("what may be frozen could not be looked at; the watchdog tries again")
