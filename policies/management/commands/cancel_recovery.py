"""Cancel a recovery: what it did is taken back."""

from typing import Any

from django.core.management.base import CommandParser

from policies.management import output
from policies.selectors import recoveries
from policies.services.recovery import asking


class Command(output.Command):
    help = "Cancel a recovery that has not made everything yet: what it did is taken back."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("recovery", metavar="UUID")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            found = recoveries.named(options["recovery"])
            done = asking.cancel(found, by=asking.COMMAND_LINE)
        self.stdout.write(f"Recovery {found.pk}: {done}.")
