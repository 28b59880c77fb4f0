"""List runs, newest first."""

from typing import Any

from django.core.management.base import CommandParser

from policies.api import as_json
from policies.management import output
from policies.selectors import labels, runs


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from thawing or looking
    help = "List the newest runs, newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--policy", metavar="OWNER/NAME", help="only runs of this policy")
        parser.add_argument(
            "--limit", type=int, default=50, help="the largest number of runs (default: 50)"
        )
        parser.add_argument("--json", action="store_true", help="print the runs as JSON")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            policy = labels.policy(options["policy"]) if options["policy"] else None
        found = runs.newest(runs.whole(), user=None, policy=policy, limit=max(1, options["limit"]))
        reports = [as_json.run(run) for run in found]
        if options["json"]:
            self.stdout.write(output.as_json({"runs": reports}))
        elif not reports:
            self.stdout.write("There are no runs yet.")
        else:
            self.stdout.write("\n".join(output.one_line(report) for report in reports))
