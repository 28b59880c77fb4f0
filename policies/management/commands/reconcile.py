"""Compare the snapshots of this server in AWS with its runs."""

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser

from policies.management import output
from policies.services.following import reconciling
from policies.services.following.reconciling import Reconciliation
from scripts_admin.apps import TRUSTED


class Command(output.Command):
    # It runs no script: whether scripts can run here is the business of the programs that do.
    requires_system_checks = [TRUSTED]
    help = (
        "Compare the snapshots in AWS that bear this server's tag with the runs. A snapshot that a run made but "
        "does not know is entered into the run; the others are listed. In AWS only the tags of entered snapshots "
        "change. Exit 0 only when every account could be read."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the findings as JSON")

    def handle(self, **options: Any) -> None:
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
        lines.append("All of them match the runs.")
    return "\n".join(lines)
