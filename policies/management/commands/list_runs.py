"""List runs, newest first."""

from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import CommandParser

from policies.api import as_json
from policies.management import output
from policies.selectors import labels, runs
from policies.services.retention import planning

MOST = 10_000


def _limit(text: str) -> int:
    if (
        not (text.isascii() and text.isdecimal())
        or len(text) > len(str(MOST))
        or not 1 <= int(text) <= MOST
    ):
        message = f"{text[:40]!r} is not a whole number from 1 to {MOST}"
        raise ArgumentTypeError(message)
    return int(text)


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from thawing or looking
    help = "List the newest runs, newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--policy", metavar="OWNER/NAME", help="only runs of this policy")
        parser.add_argument(
            "--limit",
            type=_limit,
            default=50,
            help=f"the largest number of runs, from 1 to {MOST} (default: 50)",
        )
        parser.add_argument("--json", action="store_true", help="print the runs as JSON")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            policy = labels.policy(options["policy"]) if options["policy"] else None
        rows = runs.whole().select_related("policy")
        found = runs.newest(rows, user=None, policy=policy, limit=options["limit"])
        planned = planning.of_runs(found) if options["json"] else {}
        reports = [as_json.run(run, planned=planned) for run in found]
        if options["json"]:
            self.stdout.write(output.as_json({"runs": reports}))
        elif not reports:
            self.stdout.write("There are no runs yet.")
        else:
            self.stdout.write("\n".join(output.one_line(report) for report in reports))
