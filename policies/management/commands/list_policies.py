"""List the policies."""

from typing import Any

from django.core.management.base import CommandParser

from policies.api import as_json
from policies.management import output
from policies.selectors import labels, policies
from policies.services.due import outlook


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from thawing or looking
    help = "List the policies by owner and name: when each runs next, and how its last run ended."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--owner", metavar="OWNER", help="only policies of this user")
        parser.add_argument("--json", action="store_true", help="print the policies as JSON")

    def handle(self, **options: Any) -> None:
        rows = policies.whole().order_by("owner__username", "name")
        with output.complaints():
            if options["owner"]:
                rows = rows.filter(owner=labels.user(options["owner"]))
        looked_at = outlook.LOOKED_AT_IN_A_LIST
        reports = [
            as_json.policy(found, outlook.of_policy(found, looked_at=looked_at)) for found in rows
        ]
        if options["json"]:
            self.stdout.write(output.as_json({"policies": reports}))
        elif not reports:
            self.stdout.write("There are no policies yet: enter them with apply or on the pages.")
        else:
            self.stdout.write("\n".join(output.policy_line(report) for report in reports))
