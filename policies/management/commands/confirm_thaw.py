"""Say that a person has thawed what a policy may have left frozen."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from policies.management import output
from policies.selectors import labels
from policies.services import operations


class Command(BaseCommand):
    """`confirm_thaw OWNER/NAME`."""

    requires_system_checks = []  # a wrong setting must not keep anybody from thawing or looking
    help = "Confirm that you have thawed what this policy may have left frozen. The confirmation is recorded."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("policy", metavar="OWNER/NAME")

    def handle(self, **options: Any) -> None:
        """Confirm the thaw."""
        with output.complaints():
            policy = labels.policy(options["policy"])
            by = operations.COMMAND_LINE
            result = operations.only(operations.confirm_thaw([policy], by=by))
        self.stdout.write(result.sentence)
