"""Show one run."""

from typing import Any

from django.core.management.base import CommandParser

from policies.api import as_json
from policies.management import output
from policies.selectors import labels


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from thawing or looking
    help = "Show a run: its state and consistency, its phases and snapshots, and its timeline."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="UUID")
        parser.add_argument("--json", action="store_true", help="print the run as JSON")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            report = as_json.run(labels.run(options["run"]))
        self.stdout.write(output.as_json(report) if options["json"] else output.report(report))
