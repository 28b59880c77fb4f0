"""Back a policy up now."""

import sys
from typing import Any

from django.core.management.base import CommandParser

from n2wbackup.command_line import INTERRUPTED
from policies.api import as_json
from policies.domain.errors import BackupError
from policies.domain.runs import sequence
from policies.domain.runs.trigger import Trigger
from policies.management import output, watching
from policies.management.watching import Say
from policies.models import Policy, Run
from policies.selectors import labels
from policies.services import here, operations


class Command(output.Command):
    requires_system_checks = []  # a wrong setting must not stop anybody from thawing or looking
    help = (
        "Back a policy up now, through the workers. With --wait or --here, print the run's id first and what "
        "happens as it happens; exit 0 only when the run succeeded. Ctrl-C ends --wait, and the run goes on."
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
        say = sayer(self, as_json=options["json"])
        with output.complaints():
            policy = labels.policy(options["policy"])
            if options["here"]:
                run = keep_here(policy, say, Trigger.MANUAL)
            else:
                run = _queued(policy)
                if options["wait"]:
                    _follow(run, say)
            report = as_json.run(labels.run(str(run.pk)))
            if options["json"]:
                self.stdout.write(output.as_json(report))
            elif options["wait"] or options["here"]:
                # The timeline of a run that was followed stands above.
                self.stdout.write(output.report(report, timeline=options["here"]))
            else:
                self.stdout.write(f"queued run {run.pk}")
            check_end(report, followed=options["wait"] or options["here"])


def sayer(command: output.Command, *, as_json: bool) -> Say:
    """Return what says a line at once; with --json on standard error, as standard output is the answer's."""

    def say(line: str) -> None:
        if as_json:
            command.stderr.write(line, str)
        else:
            command.stdout.write(line)
            command.stdout.flush()

    return say


def keep_here(policy: Policy, say: Say, trigger: Trigger, **test: str) -> Run:
    """Keep a run of the policy in this process to its end; the first Ctrl-C cancels it in order."""
    told: list[Run] = []

    def started(run: Run) -> None:
        told.append(run)
        say(f"run {run.pk}")

    try:
        with watching.stopping(say) as wish:
            return here.start_and_keep(
                policy=policy, trigger=trigger, started=started, is_stopped=wish.pressed, **test
            )
    except KeyboardInterrupt:
        left = f"run {told[0].pk}" if told else "it"
        say(
            f"Left {left}: its guard thaws what is frozen. A running server, or `manage.py thaw_abandoned`, "
            "enters what became of it."
        )
        sys.exit(INTERRUPTED)


def _queued(policy: Policy) -> Run:
    run = operations.only(operations.back_up([policy], by=operations.COMMAND_LINE)).run
    assert run is not None  # noqa: S101 - an operation that is not refused has created a run
    return run


def _follow(run: Run, say: Say) -> None:
    say(f"run {run.pk}")
    try:
        watching.follow(run, say)
    except KeyboardInterrupt:
        say(
            f"Stopped watching; run {run.pk} goes on. Look at it with `manage.py show_run {run.pk}`, "
            f"or cancel it with `manage.py cancel_run {run.pk}`."
        )
        sys.exit(INTERRUPTED)


def check_end(report: as_json.Json, *, followed: bool) -> None:
    """Raise BackupError if a run that was followed did not succeed."""
    if followed and report["state"] != sequence.State.SUCCEEDED:
        reason = f": {report['reason']}" if report["reason"] else "."
        message = f"Run {report['id']} ended as {report['state']}{reason}"
        raise BackupError(message)
