"""Undo a recovery: delete what it made, and put in its place what was there."""

from typing import Any

from django.core.management.base import CommandParser

from policies.management import output
from policies.selectors import recoveries
from policies.services.recovery import asking


class Command(output.Command):
    help = "Undo a recovery: delete what it made, and put the old volume back."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("recovery", metavar="UUID")
        parser.add_argument(
            "--confirm", metavar="UUID", default="", help="the id once more: you mean it"
        )

    def handle(self, **options: Any) -> None:
        with output.complaints():
            found = recoveries.named(options["recovery"])
            done = asking.undo(found, by=asking.COMMAND_LINE, confirmation=options["confirm"])
        self.stdout.write(f"Recovery {found.pk}: {done}.")
