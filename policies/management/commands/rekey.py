"""`manage.py rekey`: encrypt every stored secret with the first encryption key."""

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from n2wbackup.lib import encrypted
from policies.management import output
from scripts_admin.apps import TRUSTED
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.services import audit, second_factors
from scripts_admin.services.audit import Subject


class Command(output.Command):
    # It runs no script: whether scripts can run here is the business of the programs that do.
    requires_system_checks = [TRUSTED]
    help = (
        "Encrypt every stored secret again with the first key of N2W_ENCRYPTION_KEYS. After that "
        "you can remove the other keys. All or nothing. Prints the number of secrets, never a secret."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the counts as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        counts: dict[str, int] = {}
        try:
            with transaction.atomic():
                for field in encrypted.fields():
                    name = f"{field.model._meta.label}.{field.name}"
                    counts[name] = encrypted.rekey(field.model, field.name)
                counts["second factors"] = second_factors.rekey()
                rows = Change("rows", "", str(sum(counts.values())))
                audit.record(Action.REKEYED, Subject(Kind.DATABASE, "the database"), [rows])
        except encrypted.DecryptionError as error:
            raise CommandError(f"{error} Nothing was changed.") from error
        if options["json"]:
            self.stdout.write(json.dumps({"rekeyed": counts}))
            return
        for name, count in counts.items():
            self.stdout.write(f"{name}: {count} rekeyed.")
