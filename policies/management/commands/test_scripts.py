"""Run a policy's scripts without snapshots."""

from typing import Any

from django.core.management.base import CommandParser

from policies.api import as_json
from policies.domain.errors import InputError
from policies.domain.runs.trigger import Trigger
from policies.management import output
from policies.management.commands.run_policy import check_end, keep_here, sayer
from policies.selectors import labels
from scripts_admin.domain.phases import Phase


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from thawing or looking
    help = (
        "Run a policy's scripts as a backup would and check the permissions in AWS, but make no snapshot. "
        "With --phase before, after runs too. Exit 0 only when everything succeeded."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("policy", metavar="OWNER/NAME")
        parser.add_argument(
            "--phase",
            choices=[phase.value for phase in Phase],
            default="",
            help="run only this phase",
        )
        parser.add_argument(
            "--argument", choices=["0", "1"], default="", help="the argument for after or complete"
        )
        parser.add_argument("--json", action="store_true", help="print the run as JSON")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            phase, argument = options["phase"], options["argument"]
            if argument and phase not in {Phase.AFTER, Phase.COMPLETE}:
                message = (
                    "--argument needs --phase after or --phase complete: before gets no argument."
                )
                raise InputError(message)
            run = keep_here(
                labels.policy(options["policy"]),
                sayer(self, as_json=options["json"]),
                Trigger.TEST,
                test_phase=phase,
                test_argument=argument,
            )
            found = labels.run(str(run.pk))
            report = as_json.run(found)
            self.stdout.write(output.as_json(report) if options["json"] else output.report(report))
            check_end(report, followed=True)
