"""How the server itself is, for the dashboard: each part in one word and one sentence, and none can hold up the page.

What other processes do is seen by what they enter into the database: the pages may run in a sandbox that shows no
other process.
"""

import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import connection

from n2wbackup import health
from n2wbackup.lib import clock, home, patience
from policies.domain.runs import lateness
from policies.models import Run, Server, Turn

OK, WARNING, ERROR = "ok", "warning", "error"
DELETING = "Old snapshots"
_LOW_BYTES = 500_000_000
_LATE = timedelta(seconds=30)
_QUEUED_FOR = timedelta(minutes=1)
_LATELY, _NEWEST, _SEVERAL = (
    timedelta(minutes=15),
    500,
    5,
)  # fewer late runs are no trouble of the server


class Part(NamedTuple):
    """One part of the server: its state (ok, warning or error), and what was seen or what to do."""

    name: str
    state: str
    text: str


def parts(row: Server | None, *, strangers: bool = False) -> Sequence[Part]:
    """Return every part, in the order in which a person would mend them.

    `row`: this server's. `strangers`: tell what AWS shows of other servers, too: for superusers only, as it names
    accounts.
    """
    now = clock.now()
    return [
        Part("Database", OK, f"{connection.vendor}, answers"),
        _broker(),
        _beat_and_workers(now),
        _freeze_workers(now),
        _punctuality(now),
        _watchdog(row, now),
        deleting(row, strangers=strangers),
        _disk(),
        _clock(now),
    ]


def _ping() -> bool:
    return health.broker_answers()


def _free() -> int:
    return shutil.disk_usage(settings.N2W_HOME).free


_broker_answers = patience.Patient(_ping, wait=0.3, fresh=5)
_free_bytes = patience.Patient(_free, wait=0.3, fresh=10)


def _broker() -> Part:
    if _broker_answers.answer():
        return Part("Broker", OK, "answers")
    text = (
        "does not answer: no new run starts until it is back; open windows are thawed all the same"
    )
    return Part("Broker", ERROR, text)


def why_nothing_starts(now: datetime) -> str:
    """Return in one sentence why a queued run would wait; "" if workers take what is queued."""
    part = _beat_and_workers(now)
    return "" if part.state == OK else f"The workers {part.text}."


def _beat_and_workers(now: datetime) -> Part:
    """Both together: a turn is sent by beat and taken by a worker."""
    name = "Beat and workers"
    taken = Turn.objects.filter(pk="poll").values_list("taken_at", flat=True).first()
    if taken is None:
        return Part(
            name, WARNING, "have not done anything yet: start the server with `manage.py serve`"
        )
    if now - taken <= _LATE:
        return Part(name, OK, "followed the snapshots within the last 30 s")
    return Part(name, ERROR, f"have done nothing {_since(taken, now)}: look at `manage.py doctor`")


def _freeze_workers(now: datetime) -> Part:
    """They take what is queued; without a queued run, nobody knows."""
    name = "Workers of runs"
    queued = Run.objects.unfinished().filter(
        state="queued", not_before=None, created_at__lt=now - _QUEUED_FOR
    )
    first = queued.order_by().values_list("created_at", flat=True)[:200]
    oldest = min(first, default=None)
    if oldest is None:
        return Part(name, OK, "no run waits for a worker")
    text = f"a run waits {_since(oldest, now)} for a worker: look at `manage.py doctor`"
    return Part(name, ERROR, text)


def _punctuality(now: datetime) -> Part:
    """Say how late runs begin because the server is busy; one that waited for something else says nothing of that.

    What was due while no server ran counts from when one was back: more cores would not have begun it sooner.
    """
    name = "Punctuality"
    rows = Run.objects.filter(created_at__gt=now - _LATELY).order_by("-created_at")
    columns = ("trigger", "attempt", "scheduled_for", "created_at", "ordered_at", "ended_at")
    known = rows.values_list(*columns, "waits_on")[:_NEWEST]
    late = [
        seconds
        for trigger, attempt, due, created, ordered, ended, waits_on in known
        if not waits_on and (ordered or not ended)
        for since in [due and max(due, created)]
        if (seconds := lateness.seconds(trigger, attempt, since, ordered or now)) is not None
    ]
    most = lateness.most(late)
    text = f"of {len(late)} runs of the last 15 min, 95 % began within {most:.0f} s"
    if len(late) < _SEVERAL or most <= _LATE.total_seconds():
        return Part(name, OK, text if late else "no run was due in the last 15 min")
    state = ERROR if most > settings.N2W_LATE_MINUTES * 60 else WARNING
    return Part(name, state, f"{text}: more cores, or another server, would begin them sooner")


def own_row() -> Server | None:
    """Return this server's row, if it has entered one."""
    return Server.objects.filter(pk=home.server_id()).first()


def deleting(row: Server | None, *, strangers: bool) -> Part:
    """Say what keeps this server from deleting what the rules let go; `strangers`: in one account, too."""
    if settings.N2W_KEEP_ALL_SNAPSHOTS:
        return Part(DELETING, OK, "nothing: N2W_KEEP_ALL_SNAPSHOTS says so")
    if row is not None and row.doubt:
        return Part(DELETING, WARNING, row.doubt)
    if row is not None and row.strangers and strangers:
        return Part(DELETING, WARNING, next(iter(row.strangers.values())))
    return Part(DELETING, OK, "what the rules let go is deleted")


def why_kept(row: Server | None) -> str:
    """Return what keeps this server from deleting anything and a superuser can end; "" if nothing does."""
    return row.doubt if row and not settings.N2W_KEEP_ALL_SNAPSHOTS else ""


def why_kept_in(row: Server | None, account_id: int | None) -> Sequence[str]:
    """Return what keeps this server from deleting in the account: a sentence for each region."""
    found = row.strangers if row else {}
    return [why for place, why in sorted(found.items()) if place.split()[0] == str(account_id)]


def _watchdog(row: Server | None, now: datetime) -> Part:
    if row is None:
        return Part("Watchdog", WARNING, "has not entered this server yet")
    limit = timedelta(seconds=settings.N2W_SERVER_GONE_SECONDS)
    if now - row.heartbeat_at < limit:
        return Part("Watchdog", OK, "its heart beats")
    if row.stopped_at is not None:
        return Part("Watchdog", ERROR, "the server was stopped: start it with `manage.py serve`")
    text = f"no heartbeat {_since(row.heartbeat_at, now)}: look at `manage.py doctor`"
    return Part("Watchdog", ERROR, text)


def _disk() -> Part:
    free = _free_bytes.answer()
    if free is None:
        return Part("Disk", ERROR, "the disk of the home does not answer: it may be frozen")
    if free < _LOW_BYTES:
        return Part("Disk", ERROR, f"only {free // 1_000_000} MB are free: free some space")
    return Part("Disk", OK, f"{free / 1e9:.1f} GB are free")


def _clock(now: datetime) -> Part:
    """A time of the future in the rows: the clock was set back, or another server's clock is ahead."""
    times = [*Turn.objects.values_list("taken_at", flat=True)]
    times += Server.objects.values_list("heartbeat_at", flat=True)
    newest = max(times, default=now)
    if newest - now > clock.SKEW:
        text = (
            "was set back, or another server's clock is ahead: let all servers follow a time server"
        )
        return Part("Clock", WARNING, text)
    return Part("Clock", OK, f"{now:%H:%M:%S} UTC, and no row is from the future")


def _since(at: datetime, now: datetime) -> str:
    seconds = int((now - at).total_seconds())
    if seconds < 120:  # noqa: PLR2004 - two minutes are told in seconds
        return f"for {seconds} s"
    return f"for {seconds // 60} min" if seconds < 7200 else f"for {seconds // 3600} h"  # noqa: PLR2004
