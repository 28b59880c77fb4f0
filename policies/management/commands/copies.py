"""Show the copies of a run's snapshots, have failed ones made again, or one made by hand."""

from typing import Any

from django.core.management.base import CommandParser

from policies.management import output
from policies.selectors import copies, labels
from policies.services.copies import repeating


class Command(output.Command):
    requires_system_checks = []
    help = "Show the copies of a run's snapshots in other regions and accounts."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN")
        parser.add_argument(
            "--again", action="store_true", help="have those that failed made again"
        )
        parser.add_argument(
            "--to",
            metavar="PLACE",
            default="",
            help="copy it now to this place of its policy, such as eu-west-1 or vault/eu-west-1",
        )
        parser.add_argument("--json", action="store_true", help="print them as JSON")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            run = labels.run(options["run"])
            number = repeating.again(run) if options["again"] else 0
            planned = repeating.copy(run, options["to"]) if options["to"] else 0
        found = copies.of_run(run)
        if options["json"]:
            self.stdout.write(
                output.as_json({"run": str(run.pk), "copies": [_json(copy) for copy in found]})
            )
            return
        if number:
            self.stdout.write(f"{number} made again.")
        if planned:
            self.stdout.write(f"{planned} to be made in {options['to']}.")
        for copy in found:
            place = f"{copy.account}, {copy.region}"
            why = f": {copy.message}" if copy.message else ""
            if copy.goes_after:
                why += f"; goes after {copy.goes_after:%Y-%m-%d %H:%M} UTC: {copy.goes_why}"
            made = copy.snapshot_id or "not made yet"
            self.stdout.write(f"{copy.source_id} → {made} in {place}: {copy.state}{why}")
        if not found:
            self.stdout.write("There are no copies.")


def _json(copy: copies.Shown) -> dict[str, object]:
    said = copy._asdict()
    moments = {
        key: at.isoformat() if (at := said[key]) else None
        for key in ("created_at", "completed_at", "deleted_at", "goes_after")
    }
    return said | moments | {"key": str(copy.key), "run_id": str(copy.run_id)}
