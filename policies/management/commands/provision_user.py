"""Give a user a Linux account, to write scripts over SSH."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import connection

from n2wbackup.lib import trouble
from policies.management import output
from policies.selectors import windows
from scripts_admin.folders.provisioning.commands import ProvisionError
from scripts_admin.services import provisioning
from scripts_admin.services.provisioning import Work


class Command(output.Command):
    requires_system_checks = []  # root runs it, also where the server is somebody else
    paths = ("ssh_key",)
    help = (
        "Make or mend a user's Linux account, with the folder, the rules and the limits that it needs. Only root can; "
        "--dry-run prints the commands to everyone. Doing it again changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", nargs="?", help="the user")
        parser.add_argument(
            "--ssh-key", metavar="FILE", help="public SSH keys that open the account"
        )
        parser.add_argument(
            "--remove", action="store_true", help="lock the account; its files stay"
        )
        parser.add_argument("--all", action="store_true", help="follow the rows of all users")
        parser.add_argument(
            "--departed",
            action="store_true",
            help="lock the accounts of users who left, and make none; systemd runs this",
        )
        parser.add_argument("--dry-run", action="store_true", help="print the commands; run none")

    def handle(self, **options: Any) -> None:
        name, key = options["name"], options["ssh_key"]
        if bool(name) + options["all"] + options["departed"] != 1:
            raise CommandError(
                "Name one user, or say --all for every user, or --departed for those who left."
            )
        if not name and (key or options["remove"]):
            raise CommandError("--ssh-key and --remove are for one user: name the user.")
        if options["remove"] and key:
            raise CommandError(
                "--ssh-key opens an account and --remove locks it: choose one of them."
            )
        has_rows = bool(name) or not trouble.unapplied_migrations(connection)
        work = Work(self.stdout.write, dry_run=options["dry_run"], has_rows=has_rows)
        try:
            if options["all"]:
                provisioning.follow(work, windows.open_scripts)
            elif options["departed"]:
                provisioning.departed(work, windows.open_scripts)
            elif options["remove"]:
                provisioning.remove(name, work, windows.open_scripts)
            else:
                provisioning.provide(name, work, Path(key) if key else None)
        except ProvisionError as error:
            raise CommandError(str(error)) from error
        self._end(work)

    def _end(self, work: Work) -> None:
        for note in work.notes:
            self.stdout.write(f"note: {note}")
        if work.problems:
            raise CommandError("\n".join(work.problems))
        if not work.count:
            self.stdout.write("Everything is as it should be; nothing was changed.")
