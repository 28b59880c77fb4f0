"""What belongs to a change of a run and must not prevent it: alarms, counts, retries."""

from collections.abc import Callable, Mapping

from django.db import transaction

from n2wbackup.lib import each, outages
from policies.models import Run


def do(what: str, act: Callable[[], object], run: Run) -> None:
    """Do what belongs to a change but must not prevent it: if it fails, its rows are taken back, and the log has it."""

    def apart(_: Run) -> None:
        with transaction.atomic():
            act()

    each.apart([run], apart, f"{what} of run %s failed; the run goes on without")


def do_all(run: Run, acts: Mapping[str, Callable[[], object]]) -> None:
    """Do each as `do` does, together as long as none fails: a savepoint for each costs more than most of them."""
    try:
        with transaction.atomic():
            for act in acts.values():
                act()
    except outages.AWAY:
        raise
    except Exception:  # noqa: BLE001 - its rows are taken back, and the same error comes again below, where it is told
        for what, act in acts.items():
            do(what, act, run)
