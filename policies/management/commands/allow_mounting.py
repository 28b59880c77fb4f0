"""Allow this server to mount the snapshots of an owner."""

from typing import Any

from django.core.management.base import CommandParser

from policies.management import output, owners
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
            folder = owners.folder(options["owner"])
            mounting.allow(folder, on=not options["off"])
        word = "not be" if options["off"] else "be"
        self.stdout.write(f"Snapshots of {folder.name} may {word} mounted on this server.")
