"""Make or import an SSH key for the scripts of an owner, and print its public half."""

import getpass
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from policies.api import as_json
from policies.management import output, owners
from scripts_admin.hosts import keypairs
from scripts_admin.hosts.keypairs import KeyRefusedError
from scripts_admin.models import Folder, SshKey
from scripts_admin.services import keys


class Command(output.Command):
    paths = ("file",)
    help = (
        "Make or import an SSH key for the scripts of an owner. A new one is ed25519. Prints the line for "
        "authorized_keys on the hosts. The private half is never printed. Two keys can be valid at a time."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("owner", metavar="OWNER")
        parser.add_argument(
            "--file", default="", help="import this private key, in OpenSSH's form or as PEM"
        )
        parser.add_argument("--json", action="store_true", help="print the public half as JSON")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            folder = owners.folder(options["owner"])
        try:
            key = (
                _import(folder, options["file"]) if options["file"] else keys.make(folder, by=None)
            )
        except KeyRefusedError as error:
            raise CommandError(str(error)) from None
        report = as_json.ssh_key(key)
        self.stdout.write(output.as_json(report) if options["json"] else key.authorized_keys)


def _import(folder: Folder, name: str) -> SshKey:
    path = Path(name)
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(keypairs.LONGEST_CHARACTERS + 1)
    except OSError as error:
        raise CommandError(f"{path} cannot be read ({error.strerror}): correct the name.") from None
    try:
        return keys.bring(folder, text, by=None)
    except KeyRefusedError as error:
        if keypairs.IS_LOCKED not in str(error) or not sys.stdin.isatty():
            raise
    return keys.bring(folder, text, getpass.getpass("Passphrase of the key: "), by=None)
