"""Send a test message to whom alarms go."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from policies.management import output
from policies.services.alarms import receivers


class Command(BaseCommand):
    """`test_alarm OWNER[/NAME]`."""

    help = (
        "Send one test message now to each alarm URL of a user, or of a policy and its owner, and tell which took "
        "it. Ping URLs are left alone. Exit 0 only when all did."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("whose", metavar="OWNER[/NAME]")
        parser.add_argument("--json", action="store_true", help="print it as JSON")

    def handle(self, **options: Any) -> None:
        """Send, and print what became of it."""
        with output.complaints():
            tried = receivers.try_out(*receivers.of_label(options["whose"]))
        if options["json"]:
            answers = [{"receiver": each.shown, "problem": each.problem} for each in tried]
            self.stdout.write(output.as_json({"receivers": answers}))
        else:
            for number, each in enumerate(tried, 1):
                self.stdout.write(f"{number}. {each.shown}: {each.problem or 'sent'}")
        failed = [each for each in tried if each.problem]
        if failed:
            raise CommandError(f"{len(failed)} of {len(tried)} did not take the message.")
