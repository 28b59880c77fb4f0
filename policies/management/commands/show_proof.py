"""Show one proof."""

from typing import Any

from django.core.management.base import CommandParser

from policies.api import as_json
from policies.management import output
from policies.selectors import labels


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from looking
    help = "Show a proof: how far it got, what it read and cost, and what was printed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("proof", metavar="UUID")
        parser.add_argument("--json", action="store_true", help="print the proof as JSON")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            report = as_json.proof(labels.proof(options["proof"]))
        self.stdout.write(output.as_json(report) if options["json"] else output.proof(report))
