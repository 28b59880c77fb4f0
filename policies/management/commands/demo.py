"""`manage.py demo`: the whole product, with nothing but its Python packages."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from n2wbackup.demo import place, playground
from n2wbackup.demo.aws import SimulatorError
from policies.management import output


class Command(output.Command):
    help = (
        "Run the whole product with a sample application and a simulated AWS. It has its own folder "
        "(demo, under N2W_HOME), which is removed at the end. Ctrl-C ends it. With --once: make one "
        "backup, print the result, and exit with 0 only when it succeeded."
    )
    # The checks are about the server set up here; the demo is a different server.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--once", action="store_true", help="make one backup and exit")
        how.add_argument(
            "--playground",
            action="store_true",
            help="start only the simulated AWS, for a server and policies of your own",
        )
        parser.add_argument(
            "--json", action="store_true", help="with --once: print the result as JSON"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["json"] and not options["once"]:
            raise CommandError(
                "--json needs --once: a demo that keeps running has no result to print."
            )
        try:
            if options["playground"]:
                place.require_simulator()
                playground.stand(settings.N2W_HOME / "playground", self._say)
                return
            place.become(once=options["once"], as_json=options["json"])
        except (place.PlaceError, SimulatorError, OSError) as error:
            raise CommandError(str(error)) from error

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
