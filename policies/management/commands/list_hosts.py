"""List the hosts that an owner's scripts log in to, with their keys."""

from typing import Any

from django.core.management.base import CommandParser

from policies.api import as_json
from policies.management import output, owners
from scripts_admin.models import SshHost


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from looking
    help = "List the hosts that an owner's scripts log in to: which keys are approved, and which have changed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("owner", metavar="OWNER")
        parser.add_argument("--json", action="store_true", help="print the hosts as JSON")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            folder = owners.folder(options["owner"])
        reports = [as_json.ssh_host(row) for row in SshHost.objects.filter(folder=folder)]
        if options["json"]:
            self.stdout.write(output.as_json({"hosts": reports}))
        elif not reports:
            self.stdout.write(f"The scripts of {folder} have no hosts. approve_host adds one.")
        else:
            self.stdout.write("\n".join(output.ssh_host(report) for report in reports))
