"""Show which restore points the rules let go, and why the others stay."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from policies.api import as_json
from policies.management import output
from policies.selectors import labels, policies
from policies.services.retention import planning

ONLY_DRY = "This version shows what the rules let go and deletes nothing: add --dry-run."


class Command(output.Command):
    help = (
        "Show what the retention of a policy, or of every policy that has one, lets go and keeps, and why. Nothing "
        "is deleted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("policy", metavar="OWNER/NAME", nargs="?")
        parser.add_argument("--dry-run", action="store_true", help="show it; nothing is deleted")
        parser.add_argument("--json", action="store_true", help="print the restore points as JSON")

    def handle(self, **options: Any) -> None:
        if not options["dry_run"]:
            raise CommandError(ONLY_DRY)
        with output.complaints():
            named = labels.policy(options["policy"]) if options["policy"] else None
        rows = policies.whole().order_by("owner__username", "name")
        found = [named] if named else [row for row in rows if not row.rules.keeps_all]
        reports = [as_json.plan(row.label, planning.of_policy(row)) for row in found]
        if options["json"]:
            self.stdout.write(output.as_json({"policies": reports}))
        elif not reports:
            self.stdout.write("No policy has a retention, so every restore point is kept.")
        else:
            self.stdout.write("\n".join(output.plan(report) for report in reports))
