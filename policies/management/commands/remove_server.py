"""Say that a server does not come back, so that nothing waits for it any longer."""

from typing import Any

from django.core.management.base import CommandParser

from policies.management import output
from policies.services.servers import joining


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from thawing or looking
    help = (
        "Say that a server that is stopped or gone does not come back. Runs that wait for it go on or end "
        "at once; what may be frozen is told. A server that starts again is no longer removed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("server", metavar="SERVER", help="its id, as list_servers prints it")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            server = joining.remove(options["server"])
        self.stdout.write(f"Server {server} is removed.")
