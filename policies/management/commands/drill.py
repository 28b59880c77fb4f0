"""Prove that a policy's instances thaw by themselves: cut the connection on purpose, and come back."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from policies.adapters import broker
from policies.api import as_json
from policies.domain.trials import Kind, Verdict
from policies.management import output
from policies.models import Trial
from policies.selectors import labels
from policies.services import operations
from policies.services.trials import asking, working


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from proving that thaws work
    help = (
        "Prove that the instances of a policy thaw by themselves. On each, scripts that do nothing are armed, the "
        "connection is cut on purpose (by SSM: no thaw is sent), and the server comes back and reads who thawed. "
        "Nothing is frozen, and no script of the folder runs. "
        "Exit 0 only when every instance thawed by itself."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("policy", metavar="OWNER/NAME")
        parser.add_argument("--json", action="store_true", help="print the drill as JSON")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            policy = labels.policy(options["policy"])
            asking.refuse_beside_a_window(policy, Kind.DRILL)
            with broker.silenced({broker.TRIAL}):
                trial = operations.only(
                    operations.drill([policy], by=operations.COMMAND_LINE)
                ).trial
            assert trial is not None  # noqa: S101 - an operation that is not refused has made one
            working.execute(trial.pk)
        found = Trial.objects.prefetch_related("results").get(pk=trial.pk)
        report = as_json.trial(found)
        self.stdout.write(output.as_json(report) if options["json"] else output.trial(report))
        verdicts = {each.verdict for each in found.results.all()}
        if verdicts != {Verdict.PASSED}:
            raise CommandError(_not_proven(report))


def _not_proven(report: as_json.Json) -> str:
    left = [each["instance"] for each in report["instances"] if each["state"] != Verdict.PASSED]
    if not left:
        return f"The drill of {report['policy']} is {report['state']}: {report['waiting_for']}."
    return f"Not proven to thaw by itself: {', '.join(left)}. Each line above says what to do."
