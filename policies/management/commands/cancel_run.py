"""Cancel a run."""

from typing import Any

from django.core.management.base import CommandParser

from policies.management import output
from policies.selectors import labels
from policies.services import operations


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from thawing or looking
    help = "Cancel a run in any state. A frozen application is thawed first; the complete script gets 0."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="UUID")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            run = labels.run(options["run"])
            result = operations.only(operations.cancel([run], by=operations.COMMAND_LINE))
        self.stdout.write(result.sentence)
