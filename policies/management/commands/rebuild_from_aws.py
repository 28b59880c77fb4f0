"""List the restore points of a lost server by the tags of its snapshots, and adopt them."""

from collections import Counter
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser

from n2wbackup.lib import terminal
from policies.domain import identifiers
from policies.domain.copies.lost import Point
from policies.domain.errors import InputError
from policies.management import output
from policies.models import Account
from policies.selectors import labels
from policies.services.copies import rebuilding
from policies.services.copies.rebuilding import Place


class Command(output.Command):
    requires_system_checks = []  # what is left of a lost server is looked for on a bare machine
    help = (
        "List the restore points of a lost server by the tags of its snapshots. It looks in the accounts and regions "
        "that this server knows. --adopt makes them this server's: they can be recovered from, browsed, proven, and "
        "are retained."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--account", metavar="OWNER/NAME", action="append", help="look in this account only"
        )
        parser.add_argument(
            "--region", action="append", help="look in this region; else in those of the account"
        )
        parser.add_argument(
            "--server", metavar="UUID", default="", help="only what this server made"
        )
        parser.add_argument("--adopt", action="store_true", help="make them this server's")
        parser.add_argument(
            "--claim",
            metavar="UUID",
            action="append",
            default=[],
            help="confirm that this server is gone for good, although it seems to be alive",
        )
        parser.add_argument("--json", action="store_true", help="print what was found as JSON")

    def handle(self, **options: Any) -> None:
        _check(options)
        with output.complaints():
            found = rebuilding.look(_places(options), options["server"])
            living = rebuilding.claimed_by_the_living(found)
            adopted = rebuilding.adopt(found, options["claim"]) if options["adopt"] else []
        known = rebuilding.known_runs(found.points)
        if options["json"]:
            points = [_json(point) | {"adopted": point.run in known} for point in found.points]
            said = {"points": points, "problems": found.problems, "may_be_alive": sorted(living)}
            self.stdout.write(output.as_json(said))
        else:
            self._tell(found.points, living, options)
            if options["adopt"]:
                self.stdout.write(f"{len(adopted)} adopted.")
            for problem in found.problems:
                self.stderr.write(terminal.line(problem))
        if found.problems and options["adopt"]:
            raise CommandError(
                "Not everything was adopted: remove the causes above, and repeat it."
            )

    def _tell(self, points: list[Point], living: dict[str, str], options: Any) -> None:
        if not points:
            self.stdout.write("No snapshot of another server was found in these places.")
            return
        counted = Counter((point.server, point.owner, point.policy) for point in points)
        for (server, owner, policy), number in sorted(counted.items()):
            ones = [p for p in points if (p.server, p.owner, p.policy) == (server, owner, policy)]
            span = f"{ones[-1].at:%Y-%m-%d %H:%M} to {ones[0].at:%Y-%m-%d %H:%M} UTC"
            copies = sum(len(point.copies) for point in ones)
            also = f", {copies} cop{'y' if copies == 1 else 'ies'}" if copies else ""
            many = "1 restore point" if number == 1 else f"{number} restore points"
            line = f"server {server}: {owner}/{policy}: {many}{also}, {span}"
            self.stdout.write(terminal.line(line))
        for why in living.values():
            self.stdout.write(f"Careful: {terminal.line(why)}")
        if not options["adopt"]:
            self.stdout.write("Nothing was changed. With --adopt they become this server's.")


def _check(options: Any) -> None:
    """Raise CommandError for ids that no server can have: nothing would be found by them, without a word."""
    for option in ("server", "claim"):
        given = options[option]
        for text in given if isinstance(given, list) else [given] if given else []:
            try:
                UUID(text)
            except ValueError:
                message = (
                    f"--{option} {text!r} is no server's id: give the UUID that this command lists."
                )
                raise CommandError(message) from None
    if options["claim"] and not options["adopt"]:
        raise CommandError("--claim goes with --adopt: it confirms what is adopted.")


def _places(options: Any) -> list[Place]:
    wanted = options["account"]
    accounts = [labels.account(label) for label in wanted] if wanted else list(_all())
    if not accounts:
        message = (
            "This server knows no account: enter the accounts first, with apply or on the pages."
        )
        raise InputError(message)
    wrong = [region for region in options["region"] or () if not identifiers.is_region(region)]
    if wrong:
        message = f"{wrong[0]!r} is not an AWS region: write one such as us-east-1."
        raise InputError(message)
    return [
        Place(account, region)
        for account in accounts
        for region in dict.fromkeys(options["region"] or account.chosen_regions)
    ]


def _all() -> Any:
    return Account.objects.select_related("owner").order_by("owner__username", "name")


def _json(point: Point) -> dict[str, Any]:
    return {
        "server": point.server,
        "run": str(point.run),
        "owner": point.owner,
        "policy": point.policy,
        "at": point.at.isoformat(),
        "consistency": str(point.consistency),
        "snapshots": [
            {"id": piece.snapshot_id, "region": piece.region, "state": piece.state}
            for piece in point.originals
        ],
        "copies": [
            {"id": piece.snapshot_id, "region": piece.region, "state": piece.state}
            for piece in point.copies
        ],
    }
