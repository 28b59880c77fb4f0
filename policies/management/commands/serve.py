"""`manage.py serve`: the whole server in the foreground."""

import logging
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError, connection

from n2wbackup import VERSION
from n2wbackup.lib import home, trouble
from n2wbackup.lib.home import RuntimeFolderError
from n2wbackup.processes import supervisor
from policies.management import output
from policies.services.servers import joining
from policies.services.watch import abandoned
from scripts_admin.apps import TRUSTED
from scripts_admin.services import entering

log = logging.getLogger(__name__)

_RUN_SCRIPTS = {"freeze", "work"}


class Command(output.Command):
    _first_link = ""
    help = (
        "Run the whole server in the foreground. It is web, workers, beat, watchdog and (when REDIS_URL is unset) "
        "the broker, and each of them that dies is restarted at once. One server per N2W_HOME. On SIGTERM, "
        "SIGINT or SIGHUP the server opens no new window, fires and thaws the open ones, and exits with "
        "0. First of all it thaws what an earlier server left frozen, even if it cannot start itself."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--only",
            choices=supervisor.SINGLE,
            help="become only this program, for a service manager that restarts it when it dies "
            "(run `manage.py watchdog` beside it)",
        )

    def execute(self, *args: Any, **options: Any) -> str | None:
        # Before the system checks: a check that fails must leave nothing frozen.
        if options["only"] is None:
            _thaw_first()
        elif options["only"] not in _RUN_SCRIPTS:
            # It neither becomes another account nor needs the script folders, which its sandbox may hide.
            self.requires_system_checks = [TRUSTED]
        return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        only: str | None = options["only"]
        if only != "valkey":
            self._refuse_unmigrated()
        if only is None:
            self._first_link = _first_link()
        # This process becomes another program, which must not inherit a connection.
        connection.close()
        try:
            if only is None:
                supervisor.run(before=self._announce)
            else:
                supervisor.become(only)
        except (supervisor.CannotServeError, RuntimeFolderError, OSError) as error:
            raise CommandError(str(error)) from error

    def _announce(self) -> None:
        self.stdout.write(
            f"n2wbackup {VERSION} serves the home {settings.N2W_HOME}\n"
            f"pages    http://127.0.0.1:{settings.N2W_PORT}/\n"
            f"logs     {home.logs()}\n"
            f"stop it  with Ctrl-C here, or `manage.py drain`: open windows are fired and thawed first"
        )
        if self._first_link:
            self.stdout.write(
                "There is no user yet. Make the first superuser in a browser, with this link that works once:\n"
                f"         {self._first_link}"
            )
        self.stdout.flush()  # this process becomes another program

    def _refuse_unmigrated(self) -> None:
        try:
            missing = trouble.unapplied_migrations(connection)
        except DatabaseError as error:
            # Thawing needs no database, so this error must not prevent the watchdog.
            self.stderr.write(
                f"{trouble.of_database(error)} Until then there are no backups, but frozen applications are thawed."
            )
            return
        if missing:
            raise CommandError(trouble.not_migrated(missing))
        with output.complaints():
            joining.check()


def _first_link() -> str:
    """Return the address that makes the first superuser; "" if there is a user or no database to ask.

    It is written to the console, and never logged: whoever has it owns the server.
    """
    try:
        word = entering.first_link()
    except DatabaseError:
        return ""
    named = [origin for origin in settings.CSRF_TRUSTED_ORIGINS if "*" not in origin]
    behind_tls = settings.SESSION_COOKIE_SECURE and named
    server = named[0] if behind_tls else f"http://127.0.0.1:{settings.N2W_PORT}"
    return f"{server}/first/{word}/" if word else ""


def _thaw_first() -> None:
    """Start to thaw what no process keeps, without waiting for a database, port or broker of this server.

    The guards continue by themselves; the watchdog repeats a thaw that fails.
    """
    try:
        home.keep_temporary_files_in_memory()
        abandoned.Thawer(home.spool(), home.runtime_to_thaw()).turn()
    except Exception:
        log.exception("looking for frozen applications failed; the watchdog tries again")
