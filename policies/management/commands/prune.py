"""Delete the restore points that the rules of a policy let go, or show which they are."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from policies.api import as_json
from policies.management import output
from policies.models import Policy
from policies.selectors import labels, policies
from policies.services import operations
from policies.services.retention import planning

NAME_ONE = (
    "Name the policy whose restore points are deleted, or add --dry-run to see what would go."
)


class Command(output.Command):
    help = (
        "Delete the snapshots that the retention of a policy lets go, now and without a notice. It says which. With "
        "--dry-run: show what it lets go and keeps, and why; without a name of every policy that has one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("policy", metavar="OWNER/NAME", nargs="?")
        parser.add_argument("--dry-run", action="store_true", help="show it; nothing is deleted")
        parser.add_argument("--json", action="store_true", help="print the restore points as JSON")

    def handle(self, **options: Any) -> None:
        if not options["dry_run"] and not options["policy"]:
            raise CommandError(NAME_ONE)
        with output.complaints():
            named = labels.policy(options["policy"]) if options["policy"] else None
        if named and not options["dry_run"]:
            self._prune(named, in_json=options["json"])
            return
        rows = policies.whole().order_by("owner__username", "name")
        found = [named] if named else [row for row in rows if not row.rules.keeps_all]
        reports = [as_json.plan(row.label, planning.of_policy(row)) for row in found]
        if options["json"]:
            self.stdout.write(output.as_json({"policies": reports}))
        elif not reports:
            self.stdout.write("No policy has a retention, so every restore point is kept.")
        else:
            self.stdout.write("\n".join(output.plan(report) for report in reports))

    def _prune(self, policy: Policy, *, in_json: bool) -> None:
        going = [verdict for verdict in planning.of_policy(policy) if not verdict.keep]
        if not in_json:
            self.stdout.write(output.plan(as_json.plan(policy.label, going)))
        with output.complaints():
            result = operations.only(operations.prune([policy], by=operations.COMMAND_LINE))
        if in_json:
            self.stdout.write(output.as_json({"policies": [as_json.plan(policy.label, going)]}))
        else:
            self.stdout.write(result.sentence)
