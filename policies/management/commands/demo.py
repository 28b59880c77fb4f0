"""`manage.py demo`: the whole product, with nothing but its Python packages."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from n2wbackup.demo import place
from policies.management import output


class Command(output.Command):
    help = (
        "Run the whole product with a sample application and a simulated AWS, in its own folder "
        "(demo, under N2W_HOME), which is removed at the end. Ctrl-C ends it. With --once: make one "
        "backup, print the result, and exit with 0 only when it succeeded."
    )
    # The checks are about the server set up here; the demo is a different server.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="make one backup and exit")
        parser.add_argument(
            "--json", action="store_true", help="with --once: print the result as JSON"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["json"] and not options["once"]:
            raise CommandError(
                "--json needs --once: a demo that keeps running has no result to print."
            )
        try:
            place.become(once=options["once"], as_json=options["json"])
        except (place.PlaceError, OSError) as error:
            raise CommandError(str(error)) from error
