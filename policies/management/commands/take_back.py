"""Take a deleted restore point out of the Recycle Bin of AWS."""

from typing import Any

from django.core.management.base import CommandParser

from policies.management import output
from policies.selectors import labels
from policies.services import operations


class Command(output.Command):
    help = (
        "Take a run's deleted snapshots out of the Recycle Bin of its AWS account. The restore point is held until "
        "somebody releases it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN", help="the run's id")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            run = labels.run(options["run"])
            result = operations.only(operations.take_back([run], by=operations.COMMAND_LINE))
        self.stdout.write(result.sentence)
