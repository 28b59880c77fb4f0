"""Show one recovery."""

from typing import Any

from django.core.management.base import CommandParser

from policies.api import recoveries_as_json
from policies.management import output, recovering
from policies.selectors import recoveries


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from looking
    help = "Show a recovery: its state, what it made, when that is fast, and its history."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("recovery", metavar="UUID")
        parser.add_argument("--json", action="store_true", help="print it as JSON")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            found = recoveries.named(options["recovery"])
        if options["json"]:
            self.stdout.write(output.as_json(recoveries_as_json.recovery(found)))
        else:
            self.stdout.write(recovering.report(found))
