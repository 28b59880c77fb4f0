"""Whether this server may delete snapshots: beside a living one, a copy of its database must delete none.

A server is believed to be the only one with these rows, or one of several on one database, until there is a sign of
the contrary. Then it keeps every snapshot until a superuser says that it goes on alone. Signs that are seen here:
the server is new on a database of others, none of which is seen to live on it; or its home was copied or moved.
What AWS shows of another server is in strangers.py.
"""

import hashlib
import logging
from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.db import transaction

from n2wbackup.lib import clock, home, whereabouts
from n2wbackup.lib.cas import compare_and_set
from policies.domain.errors import RefusedError
from policies.models import Server
from policies.services.servers import copies, heart
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.services import audit
from scripts_admin.services.audit import Subject

log = logging.getLogger(__name__)

KEEPS_ALL = "N2W_KEEP_ALL_SNAPSHOTS is set, so this server deletes no snapshot: unset it and start the server again."
CONFIRM = "no other server works with a copy of this database, run `manage.py confirm_server`"
_NEW = (
    "This server is new on a database that {} has worked on, so it deletes no snapshot: that server may live on "
    "with another copy of the database. If {}."
)
_MOVED = (
    "The data of this server was copied or is on another machine than before, so it deletes no snapshot: the "
    "server that it was copied from may live on. If {}."
)
_WATCHED = (
    "This server is new on a database of others, and watches for a minute or two whether one of them lives on it; "
    "until then it deletes no snapshot."
)
WATCH_SECONDS = 90.0
_HOST = "host"  # the only sign in rows from before there were others
_seen: dict[
    str, tuple[datetime, float]
] = {}  # the first heartbeat of each other that this process saw, and when


def why_kept() -> str:
    """Return why this server deletes no snapshot, "" if it may. What is found is entered; AWS is not asked."""
    if settings.N2W_KEEP_ALL_SNAPSHOTS:
        return KEEPS_ALL
    heart.enter()
    row = Server.objects.get(pk=home.server_id())
    doubt = _why(row)
    if doubt != _WATCHED:
        _enter(row, doubt)
    return doubt


def as_it_stands() -> str:
    """Return the same for a page, which only looks: nothing is entered."""
    if settings.N2W_KEEP_ALL_SNAPSHOTS:
        return KEEPS_ALL
    own = home.server_id()
    return _why(Server.objects.filter(pk=own).first() or Server(pk=own))


def _why(row: Server) -> str:
    return _why_not_new(row) if row.confirmed_at is None else _why_not_moved(row)


def refuse() -> None:
    """Raise RefusedError if this server deletes no snapshot."""
    doubt = why_kept()
    if doubt:
        raise RefusedError(doubt)


def doubts(row: Server) -> list[str]:
    """Return what was found to speak against deleting, for people."""
    return list(dict.fromkeys([*filter(None, [row.doubt]), *row.strangers.values()]))


def digest(found: Sequence[str]) -> str:
    """Return what stands for these doubts in a form."""
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()


def confirm(shown: str | None = None) -> Server:
    """Say that this server goes on alone: it may delete again. RefusedError, and nothing changed, if it may now.

    `shown`: the digest of the doubts that the person saw; RefusedError, too, if there are others by now.
    """
    heart.enter()
    now_it_is = why_kept()
    with transaction.atomic():
        row = Server.objects.select_for_update().get(pk=home.server_id())
        found = doubts(row) or ([now_it_is] if row.confirmed_at is None else [])
        if not found:
            message = f"Nothing speaks against server {row}: it deletes what the rules let go."
            raise RefusedError(message)
        if shown not in {None, digest(found)}:
            message = (
                f"What speaks against server {row} has changed: look at it again, and then confirm."
            )
            raise RefusedError(message)
        place = dict(whereabouts.signs())
        changes = {"doubt": "", "strangers": {}, "place": place, "confirmed_at": clock.now()}
        Server.objects.filter(pk=row.pk).update(**changes)
        of = Subject(Kind.SERVER, row.host, row.pk)
        audit.record(Action.CONFIRMED_ALONE, of, [Change("keeps all", " ".join(found), "")])
    return row


def forget() -> None:
    """Begin to watch anew."""
    _seen.clear()


def _why_not_new(row: Server) -> str:
    others = list(copies.others())
    living = [each for each in others if _beats_here(each)]
    vouching = [each for each in living if each.confirmed_at is not None and not each.doubt]
    # All are new, and beat on these very rows: nobody has worked with them before.
    have_begun_together = len(living) == len(others) and not any(
        each.confirmed_at for each in others
    )
    if vouching or have_begun_together:
        return ""
    if (
        clock.boottime() - min(_seen[each.pk][1] for each in others) < WATCH_SECONDS
        and not row.doubt
    ):
        return _WATCHED
    return _NEW.format(max(others, key=lambda each: each.heartbeat_at), CONFIRM)


def _beats_here(other: Server) -> bool:
    """Tell whether it was seen to beat on this very database. A copy of a heartbeat stands still."""
    first, _ = _seen.setdefault(other.pk, (other.heartbeat_at, clock.boottime()))
    return other.heartbeat_at != first


def _why_not_moved(row: Server) -> str:
    if set(row.place) == {_HOST}:
        return "" if row.place[_HOST] in {"", "unknown", heart.host()} else _MOVED.format(CONFIRM)
    found = whereabouts.signs()
    changed = [name for name in found if row.place.get(name, found[name]) != found[name]]
    return _MOVED.format(CONFIRM) if changed else ""


def _enter(row: Server, doubt: str) -> None:
    changes: dict[str, object] = {"doubt": doubt}
    now = clock.now()
    # Of the future: the clock was ahead then.
    is_wrong = row.confirmed_at is None or row.confirmed_at > now + clock.SKEW
    if not doubt:
        known = {name: sign for name, sign in row.place.items() if name != _HOST}
        changes |= {
            "place": {**known, **whereabouts.signs()},
            "confirmed_at": now if is_wrong else row.confirmed_at,
        }
    if all(getattr(row, name) == value for name, value in changes.items()):
        return
    expected = {"doubt": row.doubt, "confirmed_at": row.confirmed_at}
    if compare_and_set(Server.objects.filter(pk=row.pk), expected, **changes) and doubt:
        log.error("%s", doubt)
