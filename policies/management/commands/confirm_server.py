"""Confirm that this server goes on alone, so that it deletes old snapshots again."""

from typing import Any

from policies.management import output
from policies.services.servers import alone


class Command(output.Command):
    help = (
        "Confirm that no other server works with a copy of this database. Then this one deletes again what the rules "
        "let go. Until then, a server on a copied database keeps every snapshot. The confirmation is recorded."
    )

    def handle(self, **options: Any) -> None:
        with output.complaints():
            row = alone.confirm()
        self.stdout.write(f"Server {row} goes on alone: it deletes what the rules let go.")
