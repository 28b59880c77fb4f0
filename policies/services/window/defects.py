"""A run that met an error that no step foresaw: it ends, and its reason says so.

Only errors that would come again belong here; an outage (`n2wbackup.lib.outages`) passes, and the step is tried again.
"""

import logging
from uuid import UUID

from n2wbackup.lib import clock, home, outages
from policies.domain.runs import sequence
from policies.domain.runs.sequence import Event, State
from policies.models import Run
from policies.services import runs
from policies.services.window import ending

log = logging.getLogger(__name__)


def end(run_id: UUID, error: Exception, done: str) -> None:
    """Log the error, and bring the run to its end as far as its state allows; `done` says what could not be done.

    Never ends a run that may be frozen: the watchdog thaws it from its spool first, and enters its window then.
    The caller holds the run's keeper lock, or has just lost nothing by a comparison that fails.
    """
    log.error("run %s could not be %s", run_id, done, exc_info=error)
    run = Run.objects.select_related("policy").filter(pk=run_id).first()
    if run is None or run.state in sequence.ENDS or _is_elsewhere(run):
        return
    reason = sentence(error, done)
    match State(run.state):
        case State.QUEUED:
            runs.apply(run, Event.BROKEN, reason, reason=reason)
        case State.PREPARING:
            runs.apply(run, Event.NOTHING_LEFT, reason, reason=reason)
        case State.WAITING:
            told = f"{run.reason} {reason}".strip()
            runs.apply(run, Event.SETTLED, reason, reason=told, dispatched_at=clock.now())
        case State.COMPLETING:
            ending.give_up(run, home.spool() / str(run.pk), reason)


def sentence(error: Exception, done: str) -> str:
    """Return the sentence for the run's reason."""
    return f"The run could not be {done} ({outages.named(error)}): look for the error in the server's log."


def _is_elsewhere(run: Run) -> bool:
    """Tell whether another server works on the run by now: it was taken over, and the error is not its own."""
    at_work = run.state in (State.PREPARING, State.COMPLETING)
    return at_work and not runs.is_here(run)
