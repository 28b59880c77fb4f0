"""`manage.py demo`: the whole product on nothing but its Python packages."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from n2wbackup.demo import place


class Command(BaseCommand):
    help = (
        "Run the whole product with a sample application and a simulated AWS, in a folder of its own "
        "(demo, under N2W_HOME) that is removed in the end. Ctrl-C ends it. With --once: make one "
        "backup, print what happened, and exit with 0 only when it succeeded."
    )
    # They are about the server that is set up here, and the demo is another one.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="make one backup and exit")
        parser.add_argument("--json", action="store_true", help="with --once: print it as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["json"] and not options["once"]:
            raise CommandError("--json belongs to --once: a demo that stands has no end to report.")
        try:
            place.become(once=options["once"], as_json=options["json"])
        except (place.PlaceError, OSError) as error:
            raise CommandError(str(error)) from error
