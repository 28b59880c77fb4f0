"""Lock a restore point in AWS, or take its lock away."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from policies.domain.schedules import schedule
from policies.management import output
from policies.selectors import labels
from policies.services import operations

USUAL_COOL_OFF = 24  # hours


class Command(output.Command):
    help = (
        "Lock the snapshots of a run in AWS until a time. Nobody can delete them before, whatever their rights. A "
        "governance lock can be taken away with --remove; a compliance lock cannot, once its cool-off is over."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN", help="the run's id")
        parser.add_argument("--until", metavar="TIME", help="in UTC, such as 2027-12-31T18:00")
        parser.add_argument("--compliance", action="store_true", help="nobody can unlock it")
        parser.add_argument("--cool-off", type=int, metavar="HOURS", help="1 to 72 (default: 24)")
        parser.add_argument(
            "--confirm", metavar="RUN", help="the run's id once more; needed with --compliance"
        )
        parser.add_argument("--remove", action="store_true", help="take the lock away")

    def handle(self, **options: Any) -> None:
        if options["remove"] == bool(options["until"]):
            raise CommandError("Give either --until TIME or --remove.")
        if options["remove"] and options["compliance"]:
            raise CommandError(
                "Nobody can take a compliance lock away: --compliance does not go with --remove."
            )
        if options["cool_off"] is not None and not options["compliance"]:
            raise CommandError("--cool-off goes with --compliance: a governance lock has none.")
        if options["compliance"] and options["confirm"] != options["run"]:
            message = "Nobody can take a compliance lock away: add --confirm with the run's id to lock it."
            raise CommandError(message)
        cool_off = _cool_off(options)
        until = _until(options["until"]) if options["until"] else None
        with output.complaints():
            run = labels.run(options["run"])
            by = operations.COMMAND_LINE
            if until is None:
                results = operations.unlock([run], by=by)
            else:
                results = operations.lock([run], until=until, cool_off_hours=cool_off, by=by)
            result = operations.only(results)
        self.stdout.write(result.sentence)


def _cool_off(options: Any) -> int:
    """Return the hours in which a compliance lock can still be taken away; 0 for a governance lock, which has none."""
    if not options["compliance"]:
        return 0
    hours = USUAL_COOL_OFF if options["cool_off"] is None else int(options["cool_off"])
    if not hours:  # and not a governance lock instead
        raise CommandError("--cool-off is a number of hours from 1 to 72, and not 0.")
    return hours


def _until(text: str) -> datetime:
    try:
        return schedule.parse_wall(text).replace(tzinfo=UTC)
    except ValueError:
        message = (
            f"{text!r} is not a time: write a date and a time in UTC, such as 2027-12-31T18:00."
        )
        raise CommandError(message) from None
