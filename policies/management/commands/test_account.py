"""Ask AWS whether an account has all permissions that backups need."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from policies.api import as_json
from policies.management import output
from policies.selectors import labels
from policies.services.entry import probing
from scripts_admin.apps import TRUSTED


class Command(output.Command):
    # It runs no script: whether scripts can run here is the business of the programs that do.
    requires_system_checks = [TRUSTED]
    help = (
        "Ask AWS for each permission that an account needs, with DryRun. In its region and in the regions of "
        "its policies' targets. Creates and changes nothing. Exit 0 only when no permission is missing and no "
        "question failed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("account", metavar="OWNER/NAME")
        parser.add_argument("--json", action="store_true", help="print the answers as JSON")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            found = probing.probe(labels.account(options["account"]))
        report = as_json.probe(found)
        self.stdout.write(output.as_json(report) if options["json"] else output.probe(report))
        if not found.is_good:
            raise CommandError(" ".join(found.problems))
