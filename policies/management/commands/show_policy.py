"""Show one policy."""

from typing import Any

from django.core.management.base import CommandParser

from policies.api import as_json
from policies.management import output
from policies.selectors import labels, policies
from policies.services.due import outlook
from policies.services.entry import reach
from policies.services.window import on_instances


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from thawing or looking
    help = "Show a policy: what it backs up, when it runs next, and how its last run ended."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("policy", metavar="OWNER/NAME")
        parser.add_argument("--json", action="store_true", help="print the policy as JSON")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            named = labels.policy(options["policy"])
        found = policies.whole().get(pk=named.pk)
        report = as_json.policy(found, outlook.of_policy(found))
        lacks = reach.missing(found.folder, on_instances.remotes(found))
        report["missing"] = [str(each) for each in lacks]
        self.stdout.write(output.as_json(report) if options["json"] else output.policy(report))
