"""`manage.py export`: users, accounts, schedules and policies as the YAML that `apply` reads."""

from typing import Any

from policies.management import output
from policies.services.document import exporting
from scripts_admin.apps import TRUSTED


class Command(output.Command):
    help = (
        "Print users, accounts, schedules and policies as the YAML that apply reads. Passwords, secret access keys, "
        "alarm URLs and ping URLs are left out. Applied to the same server, it changes nothing."
    )
    requires_system_checks = [TRUSTED]

    def handle(self, **_: Any) -> None:
        self.stdout.write(exporting.export(), ending="")
