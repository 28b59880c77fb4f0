"""Lock a restore point in AWS, or take its lock away."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from policies.domain.schedules import schedule
from policies.management import output
from policies.selectors import labels
from policies.services import operations


class Command(output.Command):
    help = (
        "Lock the snapshots of a run in AWS until a time. Nobody can delete them before, whatever their rights. A "
        "governance lock can be taken away with --remove; a compliance lock cannot, once its cool-off is over."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN", help="the run's id")
        parser.add_argument("--until", metavar="TIME", help="in UTC, such as 2027-12-31T18:00")
        parser.add_argument("--compliance", action="store_true", help="nobody can unlock it")
        parser.add_argument(
            "--cool-off", type=int, default=24, metavar="HOURS", help="1 to 72 (default: 24)"
        )
        parser.add_argument(
            "--confirm", metavar="RUN", help="the run's id once more; needed with --compliance"
        )
        parser.add_argument("--remove", action="store_true", help="take the lock away")

    def handle(self, **options: Any) -> None:
        if options["remove"] == bool(options["until"]):
            raise CommandError("Give either --until TIME or --remove.")
        if options["compliance"] and options["confirm"] != options["run"]:
            message = "Nobody can take a compliance lock away: add --confirm with the run's id to lock it."
            raise CommandError(message)
        until = _until(options["until"]) if options["until"] else None
        with output.complaints():
            run = labels.run(options["run"])
            by = operations.COMMAND_LINE
            if until is None:
                results = operations.unlock([run], by=by)
            else:
                cool_off = options["cool_off"] if options["compliance"] else 0
                results = operations.lock([run], until=until, cool_off_hours=cool_off, by=by)
            result = operations.only(results)
        self.stdout.write(result.sentence)


def _until(text: str) -> datetime:
    try:
        return schedule.parse_wall(text).replace(tzinfo=UTC)
    except ValueError:
        message = (
            f"{text!r} is not a time: write a date and a time in UTC, such as 2027-12-31T18:00."
        )
        raise CommandError(message) from None
