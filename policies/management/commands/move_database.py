"""`manage.py move_database`: copy everything into another database, such as from SQLite to PostgreSQL."""

import json
import sys
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser

from n2wbackup.lib import home, moving
from n2wbackup.processes import serve_lock
from n2wbackup.settings import database
from policies.domain.runs.sequence import State
from policies.management import output
from policies.models import Run
from scripts_admin.domain.audit import Action, Kind
from scripts_admin.services import audit
from scripts_admin.services.audit import Subject


class Command(output.Command):
    paths = ("to",)  # it may name a file
    help = (
        "Copy all rows into an empty database, which gets its tables first. All or nothing; the database in "
        "use stays as it is. Stop the server before, and set DATABASE_URL after."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--to",
            metavar="URL",
            required=True,
            help="the empty database: postgres://user@host:5432/name, or sqlite:////path of a new file. "
            "A password in it can be seen in the process list: put the URL into a file and write "
            "@FILE, or write - and give it on standard input",
        )
        parser.add_argument("--json", action="store_true", help="print the counts as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        _refuse_while_in_use()
        target = _database(_url(options["to"]))
        try:
            counts = moving.move(target, _enter)
        except moving.MovingError as error:
            raise CommandError(f"{error} Nothing was changed.") from error
        if options["json"]:
            self.stdout.write(json.dumps({"moved": counts}))
            return
        for table, count in counts.items():
            if count:
                self.stdout.write(f"{table}: {count}")
        self.stdout.write(
            f"{sum(counts.values())} rows were copied. Set DATABASE_URL to the new database and start the "
            "server. The old database was not changed: remove it when you no longer need it."
        )


def _enter(alias: str) -> None:
    audit.record(Action.MOVED, Subject(Kind.DATABASE, "the database"), using=alias)


def _url(given: str) -> str:
    if given == "-":
        return sys.stdin.readline().strip()
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"The file of --to, {given[1:]}, cannot be read ({error}).") from error


def _database(url: str) -> dict[str, Any]:
    try:
        return database.parsed(url, "--to")
    except ImproperlyConfigured as error:
        raise CommandError(f"{error} Nothing was changed.") from error


def _refuse_while_in_use() -> None:
    path = home.serve_lock()
    if serve_lock.held(path) or serve_lock.shared(path):
        raise CommandError(
            "The server is running: stop it (`manage.py drain`, or its service), then repeat the command. "
            "Nothing was changed."
        )
    frozen = Run.objects.unfinished(State.FROZEN, State.THAWING).first()
    if frozen is not None:
        raise CommandError(
            f"Run {frozen.pk} of {frozen.label} may have frozen its application: thaw it first "
            "(`manage.py thaw_abandoned`), then repeat the command. Nothing was changed."
        )
