"""What belongs to a change of a run and must not prevent it: alarms, counts, retries."""

from collections.abc import Callable

from django.db import transaction

from n2wbackup.lib import each
from policies.models import Run


def do(what: str, act: Callable[[], object], run: Run) -> None:
    """Do what belongs to a change but must not prevent it: if it fails, its rows are taken back, and the log has it."""

    def apart(_: Run) -> None:
        with transaction.atomic():
            act()

    each.apart([run], apart, f"{what} of run %s failed; the run goes on without")
