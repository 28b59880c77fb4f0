"""Taking a queued run: read once, with all that its preparation needs, and taken only as it was read."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Prefetch, Q

from n2wbackup.lib import clock, each, home
from policies.domain.runs.sequence import Event, State
from policies.models import PolicyTarget, Run
from policies.services import aside, runs
from policies.services.alarms import raising
from policies.services.servers import heart

# No run is deferred for longer. A row with a later time was written before the clock was set back.
LONGEST_DEFERRAL = timedelta(minutes=15)
_TOO = (
    Prefetch("policy__targets", PolicyTarget.objects.order_by("pk")),
    "policy__folder__ssh_hosts",
)

_NO_PING = "whether anybody is pinged for run %s could not be asked; it goes on without"


def queued(run_id: UUID) -> Run | None:
    """Return a queued run whose time has come, with its policy, targets, folder, hosts and owners; else None."""
    rows = Run.objects.select_related("policy__folder", "policy__owner", "owner", "account")
    rows = rows.defer("account__secret_access_key").prefetch_related(*_TOO)
    return rows.filter(~waiting(clock.now()), pk=run_id, state=State.QUEUED).first()


def claim(run: Run) -> bool:
    """Take a queued run as it was read; False if another process has it, or has had it since then."""
    now = clock.now()
    is_first = run.started_at is None
    # Another one may have taken it and put it back since it was read: each of these tells.
    as_read = {name: getattr(run, name) for name in ("started_at", "not_before", "losses")}
    heart.enter()
    pings = is_first and each.apart([run], raising.has_ping, _NO_PING)
    with transaction.atomic():
        taken = runs.apply(
            run,
            Event.CLAIMED,
            "a worker took the run" if is_first else "",  # once, however often it has to wait
            expected=as_read,
            server=home.server_id(),
            started_at=run.started_at or now,
            spooled_at=None,
            not_before=None,
            mark=run.mark or runs.new_mark(),
        )
        if taken and pings:
            aside.do("the ping", lambda: raising.started(run, now), run)
    return taken


def take(run_id: UUID) -> Run | None:
    """Read a run and take it; None if it is not to be had."""
    run = queued(run_id)
    return run if run is not None and claim(run) else None


def waiting(now: datetime) -> Q:
    """Match the deferred runs that must not be taken yet."""
    return Q(not_before__gt=now, not_before__lte=now + LONGEST_DEFERRAL)
