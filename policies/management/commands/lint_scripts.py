"""Say what is wrong with scripts before a run does."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser

from policies.management import output
from policies.services.entry import linting
from policies.services.entry.linting import Linted


class Command(output.Command):
    help = (
        "Judge the scripts of all policies, or of one owner's. It says whether they can run, as the kernel would judge "
        "it for the account that runs them, and what their text does wrong. No script is run. Exit 0 only if there is "
        "no error; warnings and advice do not count."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("owner", nargs="?", default="", metavar="OWNER")
        parser.add_argument("--json", action="store_true", help="print the remarks as JSON")

    def handle(self, **options: Any) -> None:
        with output.complaints():
            found = linting.everything(options["owner"])
        if options["json"]:
            self.stdout.write(output.as_json({"folders": [asdict(each) for each in found]}))
        else:
            self.stdout.write("\n".join(_lines(found)))
        wrong = [each.folder for each in found if not each.is_fine]
        if wrong:
            message = (
                f"Not every script of {', '.join(wrong)} can run and do what it is for: correct what is listed as an "
                "error."
            )
            raise CommandError(message)


def _lines(found: Sequence[Linted]) -> Iterator[str]:
    if not found:
        yield "No policy runs scripts."
    for each in found:
        if each.problem:
            yield f"{each.folder}: error: {each.problem}"
        for remark in each.remarks:
            at = f"{remark.file}:{remark.line}: " if remark.line else ""
            yield f"{each.folder}: {remark.level}: {at}{remark.text} [{remark.code}]"
        if not each.problem and not each.remarks:
            yield f"{each.folder}: nothing is wrong with the scripts of {', '.join(each.policies)}."
