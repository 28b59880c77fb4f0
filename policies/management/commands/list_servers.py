"""List the servers that work on this database."""

from typing import Any

from django.core.management.base import CommandParser

from policies.api import as_json
from policies.management import output
from policies.selectors import servers


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from thawing or looking
    help = "List the servers that work on this database: which are alive, and what differs between them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the servers as JSON")

    def handle(self, **options: Any) -> None:
        reports = [as_json.server(row) for row in servers.listed()]
        if options["json"]:
            self.stdout.write(output.as_json({"servers": reports}))
        elif not reports:
            self.stdout.write("No server has been started on this database yet.")
        else:
            self.stdout.write("\n".join(output.server(report) for report in reports))
