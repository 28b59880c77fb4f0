"""List recoveries, newest first."""

from typing import Any

from django.core.management.base import CommandParser

from policies.api import recoveries_as_json
from policies.management import output
from policies.selectors import labels, recoveries


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from looking
    help = "List the newest recoveries, newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--policy", metavar="OWNER/NAME", help="only those of this policy")
        parser.add_argument("--json", action="store_true", help="print them as JSON")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            policy = labels.policy(options["policy"]) if options["policy"] else None
        rows = recoveries.newest(None, policy)
        if options["json"]:
            found = [recoveries_as_json.short(row) for row in rows]
            self.stdout.write(output.as_json({"recoveries": found}))
            return
        lines = [
            f"{row.pk}  {row.label}  {row.kind} of {row.subject}  {row.state}  "
            f"{row.asked_at:%Y-%m-%d %H:%M} UTC"
            for row in rows
        ]
        self.stdout.write("\n".join(lines) or "There are no recoveries yet.")
