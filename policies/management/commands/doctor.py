"""Look at everything that the server stands on."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from n2wbackup import doctor
from policies.management import output


class Command(output.Command):
    requires_system_checks = []  # what they find is among its lines
    help = (
        "Check versions, home, account, database, broker, processes, disk, permissions and Linux accounts. Each line "
        "is ok, or says what to do. Exit 0 only when all is well."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the findings as JSON")

    def handle(self, **options: Any) -> None:
        found = list(doctor.findings())
        wrong = [each for each in found if not each.ok]
        if options["json"]:
            rows = [each._asdict() for each in found]
            self.stdout.write(output.as_json({"ok": not wrong, "checks": rows}))
        else:
            for each in found:
                self.stdout.write(f"{'ok' if each.ok else 'WRONG':6} {each.name:12} {each.text}")
        if wrong:
            raise CommandError(f"{len(wrong)} of {len(found)} checks need you: see above.")
