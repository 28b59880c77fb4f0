"""Confirm that a person has thawed an application that a policy may have left frozen."""

from typing import Any

from django.core.management.base import CommandParser

from policies.management import output
from policies.selectors import labels
from policies.services import operations


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from thawing or looking
    help = (
        "Confirm that you have thawed the application that this policy may have left frozen. The confirmation is "
        "recorded."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("policy", metavar="OWNER/NAME")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            policy = labels.policy(options["policy"])
            by = operations.COMMAND_LINE
            result = operations.only(operations.confirm_thaw([policy], by=by))
        self.stdout.write(result.sentence)
