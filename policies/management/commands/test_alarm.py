"""Send a test message to the receivers of alarms."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from policies.management import output
from policies.services.alarms import receivers
from scripts_admin.apps import TRUSTED


class Command(output.Command):
    # It runs no script: whether scripts can run here is the business of the programs that do.
    requires_system_checks = [TRUSTED]
    help = (
        "Send one test message now to each alarm URL of a user, or of a policy and its owner. Reports the result "
        "of each. Nothing is sent to ping URLs. Exit 0 only when every URL accepted the message."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("whose", metavar="OWNER[/NAME]")
        parser.add_argument("--json", action="store_true", help="print the results as JSON")

    def handle(self, **options: Any) -> None:
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
            raise CommandError(
                f"{len(failed)} of {len(tried)} alarm URLs did not accept the message."
            )
