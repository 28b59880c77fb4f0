"""Back a policy up now."""

import time
from typing import Any

from django.core.management.base import CommandParser

from policies.api import as_json
from policies.domain.errors import BackupError
from policies.domain.runs import sequence
from policies.domain.runs.trigger import Trigger
from policies.management import output
from policies.models import Policy, Run
from policies.selectors import labels
from policies.services import here, operations

POLL_SECONDS = 0.2


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from thawing or looking
    help = (
        "Back a policy up now, through the workers. With --wait or --here, exit 0 only when the run "
        "succeeded."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("policy", metavar="OWNER/NAME")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--wait", action="store_true", help="wait until the run has ended")
        how.add_argument(
            "--here", action="store_true", help="run it in this process, without broker and workers"
        )
        parser.add_argument("--json", action="store_true", help="print the run as JSON")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            policy = labels.policy(options["policy"])
            run = _here(policy) if options["here"] else _queued(policy)
            if options["wait"]:
                follow(run)
            report = as_json.run(labels.run(str(run.pk)))
            if options["json"]:
                self.stdout.write(output.as_json(report))
            elif options["wait"] or options["here"]:
                self.stdout.write(output.report(report))
            else:
                self.stdout.write(f"queued run {run.pk}")
            check_end(report, followed=options["wait"] or options["here"])


def _here(policy: Policy) -> Run:
    return here.start_and_keep(policy=policy, trigger=Trigger.MANUAL)


def _queued(policy: Policy) -> Run:
    run = operations.only(operations.back_up([policy], by=operations.COMMAND_LINE)).run
    assert run is not None  # noqa: S101 - an operation that is not refused has created a run
    return run


def follow(run: Run) -> None:
    while run.state not in sequence.ENDS:
        time.sleep(POLL_SECONDS)
        run.refresh_from_db()


def check_end(report: as_json.Json, *, followed: bool) -> None:
    """Raise BackupError if a run that was followed did not succeed."""
    if followed and report["state"] != sequence.State.SUCCEEDED:
        reason = f": {report['reason']}" if report["reason"] else "."
        message = f"Run {report['id']} ended as {report['state']}{reason}"
        raise BackupError(message)
