"""`manage.py apply FILE.yaml`: users, accounts, schedules and policies as code."""

import os
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from policies.api.as_json import Json
from policies.domain.document.marked import Mistake
from policies.domain.errors import InputError
from policies.management import output
from policies.services.document import applying
from policies.services.document.applying import UNCHANGED, Change, MistakesError
from scripts_admin.apps import TRUSTED


class Command(output.Command):
    help = (
        "Create and change users, accounts, schedules and policies as a YAML file says. All or nothing: every "
        "mistake is reported as FILE:LINE:COLUMN: field: sentence, and then nothing is changed. "
        "Everything that the file does not name stays as it is; nothing is deleted. Applying the same file again "
        "changes nothing. Passwords and secrets are read from the environment variables that the file names."
    )
    paths = ("file",)
    # It only writes rows. The programs that run scripts check whether scripts can run here.
    requires_system_checks = [TRUSTED]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE.yaml", help="the YAML file")
        parser.add_argument(
            "--dry-run", action="store_true", help="report what would change, and change nothing"
        )
        parser.add_argument("--json", action="store_true", help="print the changes as JSON")

    def handle(self, **options: Any) -> None:
        name, dry_run = options["file"], options["dry_run"]
        try:
            changes = applying.apply(_read(name), os.environ, dry_run=dry_run)
        except MistakesError as error:
            if options["json"]:
                self.stdout.write(output.as_json(_refusal(name, error, dry_run=dry_run)))
            for mistake in error.mistakes:
                self.stderr.write(_line(name, mistake))
            raise CommandError(f"{name} has {error}") from None
        except InputError as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(output.as_json(_report(changes, dry_run=dry_run)))
        else:
            self.stdout.write("\n".join(_lines(changes, dry_run=dry_run)))


def _read(name: str) -> str:
    """Return the file's text. InputError if it cannot be read or, with line and column, is not UTF-8."""
    try:
        raw = Path(name).read_bytes()
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror}): check its name.") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = raw[: error.start].decode("utf-8-sig")
        line, column = good.count("\n") + 1, len(good) - good.rfind("\n")
        raise InputError(
            f"{name}:{line}:{column}: document: This is not UTF-8 text: save the file as UTF-8. "
            "Nothing was changed."
        ) from None


def _line(name: str, mistake: Mistake) -> str:
    place = mistake.place
    return f"{name}:{place.line}:{place.column}: {place.field}: {mistake.sentence}"


def _lines(changes: list[Change], *, dry_run: bool) -> list[str]:
    lines = []
    for change in changes:
        fields = "; ".join(f"{field} {value}" for field, value in change.fields.items())
        verb = f"would be {change.action}" if dry_run else change.action
        if change.action == UNCHANGED:
            verb = UNCHANGED
        lines.append(f"{change.kind} {change.name}: {verb}" + (f" ({fields})" if fields else ""))
        lines += [f"  warning: {each}" for each in change.warnings]
    if not any(change.action != UNCHANGED for change in changes):
        lines.append("Everything already matches the file: nothing was changed.")
    elif dry_run:
        lines.append("This was a dry run: nothing was changed.")
    return lines


def _report(changes: list[Change], *, dry_run: bool) -> Json:
    return {
        "dry_run": dry_run,
        "changed": not dry_run and any(change.action != UNCHANGED for change in changes),
        "changes": [
            {
                "kind": change.kind,
                "name": change.name,
                "action": change.action,
                "fields": dict(change.fields),
                "warnings": list(change.warnings),
            }
            for change in changes
        ],
        "mistakes": [],
    }


def _refusal(name: str, error: MistakesError, *, dry_run: bool) -> Json:
    mistakes = [
        {
            "file": name,
            "line": mistake.place.line,
            "column": mistake.place.column,
            "field": mistake.place.field,
            "text": mistake.sentence,
        }
        for mistake in error.mistakes
    ]
    return {"dry_run": dry_run, "changed": False, "changes": [], "mistakes": mistakes}
