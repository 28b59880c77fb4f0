"""Taking a run to its end as the server's processes do, with nothing caught around their steps."""

import time

from policies import tasks
from policies.domain.runs import sequence
from policies.domain.runs.sequence import State
from policies.models import Run
from tests.ground.leeway import LEEWAY
from tests.policies.services.backup import Backup

TURNS = 12


def turn(backup: Backup, run: Run) -> None:
    """Do what the server's processes do for a run in its state, with nothing caught around them."""
    state = Run.objects.get(pk=run.pk).state
    if state == State.QUEUED:
        tasks.freeze(str(run.pk))
    elif state == State.WAITING:
        backup.cloud.advance()
        tasks.poll()
    elif state == State.COMPLETING:
        tasks.complete(str(run.pk))
    backup.thaw(run)
    run.refresh_from_db()


def drive(backup: Backup, run: Run) -> None:
    """Take the run to its end; a repeated after has its pauses, any other state has so many turns."""
    left, until = TURNS, time.monotonic() + 2 * LEEWAY
    while run.state not in sequence.ENDS and left and time.monotonic() < until:
        left -= run.state != State.THAWING
        turn(backup, run)
        time.sleep(0.02)
