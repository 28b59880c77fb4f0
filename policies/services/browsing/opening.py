"""Opening a snapshot that somebody asked for, looking after it while it is open, and closing it.

Only the server of the row does this, because what is opened are processes and mounts of its machine.
"""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from n2wbackup.lib import claims, clock, each, home, outages
from n2wbackup.lib.cas import compare_and_set
from policies.adapters import broker
from policies.domain.browsing.states import State
from policies.domain.errors import BackupError, ImageGoneError
from policies.domain.retention.points import HoldKind
from policies.models import OpenedSnapshot, Server
from policies.services.browsing import asking, reaching
from policies.services.retention import holds
from policies.services.window import credentials

log = logging.getLogger(__name__)

CLAIM = timedelta(minutes=3)  # longer than any snapshot takes to be opened, or to be refused
PAUSE = timedelta(seconds=20)
TRIES = 2
_HELD = "somebody looks at its files"
_GONE = "The process that opened it ended each time before it was done: look at the server's log, and try again."
_LOST = "The process that read it has ended, or the server was started again: open it once more."
_IDLE = "Nobody used it for {} minutes."
_SERVER_GONE = "The server that had opened it is gone: open it on another one."


def work(opened_id: UUID) -> None:
    """Do what is due: open it, look whether it still can be read, or close it. The loser of a claim does nothing."""
    row = _whole().filter(pk=opened_id, server=home.server_id(), ended_at=None).first()
    if row is None:
        return
    if row.state == State.OPEN:
        look_after(row)
    else:
        _open(row)


def _whole() -> QuerySet[OpenedSnapshot]:
    return OpenedSnapshot.objects.select_related(
        "run__account__owner",
        "run__policy__owner",
        "run__owner",
        "snapshot__target",
        "copy__account__owner",
    )


def _open(row: OpenedSnapshot) -> None:
    now = clock.now()
    if not claims.is_due(row, now, CLAIM):
        return
    if not claims.take(row, CLAIM, now, tries=row.tries + 1, state=State.OPENING):
        return
    if row.tries > TRIES:
        fail(row, _GONE)
        return
    try:
        _opened(row)
    except outages.AWAY:
        raise
    except BackupError as error:
        fail(row, str(error))
    except Exception as error:
        log.exception("%s could not be opened", row.image)
        said = f"This met an error that nobody foresaw ({outages.named(error)}): look at the server's log."
        fail(row, said)


def _opened(row: OpenedSnapshot) -> None:
    why_not = asking.problem(row.snapshot, row.copy)
    if why_not or row.account is None:
        fail(row, why_not)
        return
    credentials.refuse_withdrawn(row.account)
    copies = [row.copy.pk] if row.copy else []
    key = str(row.pk)
    holds.take(row.run_id, HoldKind.RECOVERY, key=key, reason=_HELD, until=None, copies=copies)
    about = reaching.opened(row).about()
    now = clock.now()
    done = claims.kept(
        row,
        state=State.OPEN,
        opened_at=now,
        last_used_at=now,
        about=reaching.document(about),
        blocks_read=about.blocks_read,
    )
    if not done:  # somebody has closed it meanwhile
        reaching.close(row)


def look_after(row: OpenedSnapshot) -> None:
    """Close an opened snapshot that nobody uses any more, or that cannot be read any more."""
    idle = timedelta(minutes=settings.N2W_OPENED_IDLE_MINUTES)
    now = clock.now()
    # A time of the future was written before the clock was put back.
    if row.last_used_at <= now - idle or row.last_used_at > now + clock.SKEW:
        close(row, _IDLE.format(settings.N2W_OPENED_IDLE_MINUTES))
        return
    try:
        about = reaching.tree(row).about()
    except ImageGoneError:
        lost(row)
        return
    except BackupError as error:  # it is slow: whoever looks at it next sees whether it lives
        log.warning("%s did not say how it stands: %s", row.image, error)
        return
    _same(row).filter(ended_at=None).update(blocks_read=about.blocks_read)


def close(row: OpenedSnapshot, why: str) -> bool:
    """Close an opened snapshot, first its processes and then its row; True for exactly one who does."""
    reaching.close(row)
    return end(row, State.CLOSED, why)


def lost(row: OpenedSnapshot) -> bool:
    """End an opened snapshot whose processes are gone."""
    return fail(row, _LOST)


def fail(row: OpenedSnapshot, sentence: str) -> bool:
    """End a row that cannot be used, and whatever may be left of its processes; True for exactly one who does."""
    reaching.close(row)
    return end(row, State.FAILED, sentence)


@transaction.atomic
def end(row: OpenedSnapshot, state: State, sentence: str) -> bool:
    """End the row, and release what it holds; True for exactly one who does."""
    seen = {"ended_at": None}
    now = clock.now()
    if not compare_and_set(_same(row), seen, state=state, sentence=sentence, ended_at=now):
        return False
    holds.drop(row.run_id, HoldKind.RECOVERY, key=str(row.pk))
    row.state, row.sentence, row.ended_at = state, sentence, now
    return True


def used(row: OpenedSnapshot) -> None:
    """Note that somebody uses it; not for each page, as that would be a write for each."""
    now = clock.now()
    if abs(now - row.last_used_at) >= PAUSE:
        row.last_used_at = now
        _same(row).filter(ended_at=None).update(last_used_at=now)


def tick() -> int:
    """Send each server to what it has to do: hints that were lost, what is idle, what is to be looked after."""
    now = clock.now()
    gone = Server.objects.filter(Q(gone_at__isnull=False) | Q(removed_at__isnull=False))
    there = OpenedSnapshot.objects.filter(ended_at=None).order_by("last_used_at")
    for row in there.filter(server__in=gone.values("pk")):
        end(row, State.FAILED, _SERVER_GONE)
    _close_forgotten()
    due = there.filter(Q(state=State.OPEN) | claims.due(now - PAUSE, CLAIM + PAUSE))
    return each.apart(list(due.values_list("pk", "server")), _send, "opened snapshot %s")


def _close_forgotten() -> None:
    """Close what is open on this server although its row has ended: whoever was to close it was killed."""
    ended = OpenedSnapshot.objects.filter(ended_at__isnull=False)
    for key in reaching.living():
        row = ended.filter(pk=key).first()
        if row is not None:
            reaching.close(row)


def _send(found: tuple[UUID, str]) -> bool:
    broker.send(broker.OPEN_SNAPSHOT, *found)
    return True


def _same(row: OpenedSnapshot) -> QuerySet[OpenedSnapshot]:
    return OpenedSnapshot.objects.filter(pk=row.pk)


def idle_at(row: OpenedSnapshot) -> datetime:
    """Return when it is closed if nobody uses it any more."""
    return row.last_used_at + timedelta(minutes=settings.N2W_OPENED_IDLE_MINUTES)
