"""Leave a held restore point to its policy's rules again."""

from typing import Any

from django.core.management.base import CommandParser

from policies.management import output
from policies.selectors import labels
from policies.services import operations


class Command(output.Command):
    help = "Release a run's restore point that somebody holds: the rules of its policy decide about it again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN", help="the run's id")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            run = labels.run(options["run"])
            result = operations.only(operations.release([run], by=operations.COMMAND_LINE))
        self.stdout.write(result.sentence)
