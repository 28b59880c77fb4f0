"""Prove that a restore point can be used."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from policies.adapters import broker
from policies.api import as_json
from policies.domain import proofs
from policies.domain.errors import InputError
from policies.domain.proofs import State
from policies.management import output
from policies.models import Run
from policies.selectors import copies, labels
from policies.services import operations
from policies.services.proof import asking, working
from policies.services.proof.asking import Wish


class Command(output.Command):
    help = (
        "Prove a restore point, here and now: a run's, or the newest of a policy. Its blocks are read from AWS, no "
        "volume is made, and nothing that is started has a network. Exit 0 only when it passed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", metavar="RUN|OWNER/NAME")
        parser.add_argument(
            "--level",
            type=int,
            metavar="N",
            help="0: readable, 1: mounts, 2: starts, 3: agrees; else as the policy says",
        )
        parser.add_argument(
            "--recipe", default="", metavar="NAME", help=f"one of {', '.join(proofs.WORDS)}"
        )
        parser.add_argument(
            "--snapshot", default="", metavar="ID", help="only this snapshot, or this copy"
        )
        parser.add_argument(
            "--from",
            dest="source",
            default="",
            metavar="PLACE",
            help="the copies of this place, such as eu-west-1 or vault/eu-west-1",
        )
        parser.add_argument("--all", action="store_true", help="read every block, not a sample")
        parser.add_argument("--json", action="store_true", help="print the proof as JSON")

    def handle(self, **options: Any) -> None:
        wish = Wish(
            options["level"],
            options["recipe"],
            options["snapshot"],
            options["all"],
            options["source"],
        )
        with output.complaints():
            run = _run(options["what"])
            with broker.silenced({broker.PROOF}):
                asked = asking.ask(run, wish, by=operations.COMMAND_LINE.name)
            working.execute(asked.pk)
            report = as_json.proof(labels.proof(str(asked.pk)))
        self.stdout.write(output.as_json(report) if options["json"] else output.proof(report))
        if report["state"] == State.QUEUED:
            message = f"Proof {report['id']} waits: another proof of this owner works. The server begins it then."
            raise CommandError(message)
        if report["state"] != State.PASSED:
            raise CommandError(report["reason"])


def _run(what: str) -> Run:
    if "/" not in what:
        return labels.run(what)
    policy = labels.policy(what)
    ended = Run.objects.filter(policy=policy, ended_at__isnull=False).order_by("-created_at")
    newest = ended.filter(restore_point=True).first() or copies.with_copies(ended).first()
    if newest is None:
        message = f"{what} has no restore point yet: back it up first."
        raise InputError(message)
    return labels.run(str(newest.pk))
