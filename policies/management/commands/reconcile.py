"""Compare our snapshots in AWS with the rows."""

from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from policies.management import output
from policies.services.following import reconciling
from policies.services.following.reconciling import Reconciliation


class Command(BaseCommand):
    """`reconcile`."""

    help = (
        "Compare the snapshots that bear this server's tag with the runs: what a run made and does not know is "
        "entered into it, the rest is listed. Changes nothing in AWS but the tags of what was entered. Exit 0 "
        "when every account could be asked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--json", action="store_true", help="print it as JSON")

    def handle(self, **options: Any) -> None:
        """Reconcile, and print what was found."""
        with output.complaints():
            report = reconciling.reconcile()
        self.stdout.write(output.as_json(asdict(report)) if options["json"] else _lines(report))
        if report.problems:
            raise CommandError(" ".join(report.problems))


def _lines(report: Reconciliation) -> str:
    lines = [f"{report.seen} snapshots bear this server's tag."]
    lines += [
        f"{found.kind:8} {found.snapshot_id} in {found.region}, {found.account}: {found.text}"
        for found in report.findings
    ]
    if not report.findings and not report.problems:
        lines.append("All are as the runs say.")
    return "\n".join(lines)
