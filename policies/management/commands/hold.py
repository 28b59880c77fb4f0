"""Keep a restore point, whatever its policy's rules say."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from policies.domain.schedules import schedule
from policies.management import output
from policies.selectors import labels
from policies.services import operations


class Command(output.Command):
    help = (
        "Keep a run's restore point, whatever the rules say, until a time or until it is released."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN", help="the run's id")
        parser.add_argument("--reason", required=True, help="why it is kept, in one line")
        parser.add_argument(
            "--until", metavar="TIME", help="in UTC, such as 2027-12-31T18:00; without it: for ever"
        )

    def handle(self, **options: Any) -> None:
        until = _until(options["until"]) if options["until"] else None
        with output.complaints():
            run = labels.run(options["run"])
            held = operations.hold(
                [run], reason=options["reason"], until=until, by=operations.COMMAND_LINE
            )
            result = operations.only(held)
        self.stdout.write(result.sentence)


def _until(text: str) -> datetime:
    try:
        return schedule.parse_wall(text).replace(tzinfo=UTC)
    except ValueError:
        message = (
            f"{text!r} is not a time: write a date and a time in UTC, such as 2027-12-31T18:00."
        )
        raise CommandError(message) from None
