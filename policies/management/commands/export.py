"""`manage.py export`: users, accounts, schedules and policies as the YAML that `apply` reads."""

from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand

from policies.services.document import exporting


class Command(BaseCommand):
    help = (
        "Print users, accounts, schedules and policies as the YAML that apply reads. Passwords, secret access keys, "
        "alarm URLs and ping URLs are left out. Applied to the same server, it changes nothing."
    )
    requires_system_checks = [Tags.models]

    def handle(self, **_: Any) -> None:
        self.stdout.write(exporting.export(), ending="")
