"""Runs of a server that is gone: taken over where that is safe, and told where it is not.

Each living server does this; compare-and-set decides between them, and between them and a server that comes
back. Nothing was frozen: the run is queued again. A window may be open: only the server that has its spool can
thaw it, so people are told, and the run goes on without it once that server would have given up itself. Polling
and tags need no spool. complete is not repeatable: if it was not run, or may have been, the run says so.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.db import transaction

from n2wbackup.lib import clock, each, home
from policies.domain.document.fields import DEFAULTS
from policies.domain.runs.sequence import Event, State
from policies.models import Run, Server
from policies.services import runs
from policies.services.window import ending, entering
from scripts_admin.domain.phases import ThawBy

log = logging.getLogger(__name__)


def adopt() -> int:
    """Do what is due for the runs of every server that is gone; return how many runs were changed."""
    now, found = clock.now(), 0
    for server in Server.objects.filter(gone_at__isnull=False).exclude(pk=home.server_id()):
        rows = Run.objects.unfinished().filter(server=server.pk, state__in=_STEPS)
        rows = rows.select_related("policy")
        trouble = "run %s, whose server is gone, could not be taken over"
        found += each.apart(list(rows), partial(_adopt, server.pk, now), trouble)
    return found


@transaction.atomic
def _adopt(server: str, now: datetime, run: Run) -> bool:
    # Its heartbeat waits for this transaction, so it cannot come back in the middle.
    rows = Server.objects.select_for_update().filter(pk=server, gone_at__isnull=False)
    gone = rows.first()
    return gone is not None and _STEPS[State(run.state)](run, gone, now)


def _queue_again(run: Run, server: Server, now: datetime) -> bool:
    """Queue it at once if its server has no record of it; else that server would thaw it first when it is back."""
    if run.spooled_at is not None and not _has_waited(server, now):
        return False
    runs.lose(run, f"server {server} is gone")
    return True


def _tell(run: Run, server: Server, now: datetime) -> bool:
    """Tell once that only that server can thaw; give up when it would have given up by now."""
    if run.server_gone_at is None:
        text = f"server {server} is gone, and only it can thaw: the application may be frozen"
        return runs.apply(run, Event.SERVER_GONE, text, server_gone_at=now)
    if not _is_over(run, server, now):
        return False
    reason = (
        f"Server {server} is gone, and only it could thaw: thaw by hand and confirm it, if the application is "
        "still frozen."
    )
    was_frozen = run.state == State.FROZEN
    if not runs.apply(run, Event.GIVEN_UP, reason, reason=reason, thaw_by=ThawBy.LOST):
        return False
    if was_frozen:
        entering.lost_shots(run)
    return True


def _is_over(run: Run, server: Server, now: datetime) -> bool:
    """Tell whether the server, were it alive and cut off from the database, would not thaw any more."""
    if server.removed_at is not None:
        return True
    policy = run.policy
    minutes = policy.thaw_retry_minutes if policy else DEFAULTS["thaw_retry_minutes"]
    freeze = policy.max_freeze_seconds if policy else DEFAULTS["max_freeze_seconds"]
    since = max(run.ordered_at or run.created_at, server.gone_at or now)
    tries = timedelta(minutes=minutes, seconds=freeze)
    return _has_waited(server, now) and now - since >= tries


def _has_waited(server: Server, now: datetime) -> bool:
    wait = timedelta(seconds=settings.N2W_SERVER_WAIT_SECONDS)
    return server.removed_at is not None or now - (server.gone_at or now) >= wait


def _end(run: Run, server: Server, now: datetime) -> bool:
    """End a run whose complete only that server could run: it is never run a second time."""
    if not _has_waited(server, now):
        return False
    # As that server does before it starts complete: of the two, one gets it.
    if run.complete_started_at is None and not ending.claim_complete(run):
        return False
    sentence = f"Server {server} is gone, and only it could run complete, so complete was not run."
    if ending.enter_interrupted(run):
        sentence = (
            f"Server {server} is gone while complete was running: it is not known whether it came to its end, and "
            "it is not run again."
        )
    runs.record(run, sentence)
    ending.finish(run, home.spool() / str(run.pk), sentence)
    return True


_STEPS: Mapping[State, Callable[[Run, Server, datetime], bool]] = {
    State.PREPARING: _queue_again,
    State.FROZEN: _tell,
    State.THAWING: _tell,
    State.COMPLETING: _end,
}
