"""`manage.py serve`: the whole server in the foreground."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection

from n2wbackup import health
from n2wbackup.lib.home import RuntimeFolderError
from n2wbackup.processes import supervisor


class Command(BaseCommand):
    help = (
        "Run web, workers, beat, watchdog and (when REDIS_URL is unset) the broker, in the "
        "foreground, and start again at once what dies. One server per N2W_HOME. SIGTERM, SIGINT "
        "or SIGHUP: no new window is opened, open ones are fired and thawed, then it exits with 0."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        self._refuse_unmigrated()
        # This process becomes the supervisor, and takes no connection along.
        connection.close()
        try:
            supervisor.run()
        except (supervisor.CannotServeError, RuntimeFolderError, OSError) as error:
            raise CommandError(str(error)) from error

    def _refuse_unmigrated(self) -> None:
        try:
            missing = health.unapplied_migrations()
        except DatabaseError as error:
            raise CommandError(
                f"The database cannot be reached ({error}): start it, or correct DATABASE_URL."
            ) from error
        if missing:
            raise CommandError(
                f"The database lacks {len(missing)} migrations, the first is {missing[0]}: "
                "run `manage.py migrate` first."
            )
