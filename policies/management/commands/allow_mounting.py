"""Allow this server to mount the snapshots of an owner."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from policies.management import output
from policies.selectors import labels
from scripts_admin import permissions
from scripts_admin.services import mounting


class Command(output.Command):
    help = (
        "Allow the server to mount an owner's snapshots, for files and proofs. Its kernel then reads what the owner's "
        "machines wrote: allow it for owners whom you trust. --off forbids it again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("owner", metavar="OWNER")
        parser.add_argument("--off", action="store_true", help="forbid it again")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            owner = labels.user(options["owner"])
        mounting.allow(owner, on=not options["off"])
        may = permissions.may_open_snapshots(owner)
        if may and options["off"]:
            raise CommandError(
                f"Snapshots of {owner} may still be mounted: {owner} is a superuser, or has the permission by a group."
            )
        self.stdout.write(
            f"Snapshots of {owner} may {'be' if may else 'not be'} mounted on this server."
        )
