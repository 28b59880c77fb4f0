"""The sessions of a person: what is known of each, and how they end."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from allauth.usersessions.models import UserSession
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session

from n2wbackup.lib import clock
from scripts_admin.models import User

log = logging.getLogger(__name__)
SEEN = "seen_at"  # the middleware notes it once a minute


class Opened(NamedTuple):
    """A session that goes on; `seen_at` is None in its first moments."""

    id: int
    began_at: datetime
    seen_at: datetime | None
    address: str
    browser: str
    is_this: bool


def opened(person: User, current: str = "") -> list[Opened]:
    """Return the person's sessions, the newest first; `current` is the key of the one that asks."""
    known = list(UserSession.objects.filter(user_id=person.pk).order_by("-created_at"))
    rows = Session.objects.filter(expire_date__gt=clock.now())
    going_on = rows.in_bulk([each.session_key for each in known])
    return [
        Opened(
            each.pk,
            each.created_at,
            _seen(going_on[each.session_key]),
            each.ip,
            each.user_agent,
            each.session_key == current,
        )
        for each in known
        if each.session_key in going_on
    ]


def counts(people: Iterable[User]) -> dict[int, int]:
    """Return how many sessions each of the people has, by the key of the user."""
    rows = Session.objects.filter(expire_date__gt=clock.now()).values("session_key")
    known = UserSession.objects.filter(user__in=people, session_key__in=rows)
    return Counter(known.values_list("user_id", flat=True))


def end(person: User, session: int) -> bool:
    """End one session of the person; False if they have no such session."""
    found = UserSession.objects.filter(user_id=person.pk, pk=session).first()
    if found is None:
        return False
    _end([found.session_key])
    log.info("a session of %s from %s was ended", person.username, found.ip)
    return True


def end_all(person: User, but: str = "") -> int:
    """End the sessions of the person, but the one with this key; return how many there were."""
    ended = [row.session_key for row in _of(person) if row.session_key != but]
    _end(ended)
    if ended:
        log.info("%s sessions of %s were ended", len(ended), person.username)
    return len(ended)


def _end(keys: list[str]) -> None:
    Session.objects.filter(session_key__in=keys).delete()
    UserSession.objects.filter(session_key__in=keys).delete()


def _of(person: User) -> Iterator[Session]:
    # All are looked at: a session from before an upgrade has no row that says whose it is.
    for row in Session.objects.filter(expire_date__gt=clock.now()).iterator():
        if row.get_decoded().get(SESSION_KEY) == str(person.pk):
            yield row


def _seen(row: Session) -> datetime | None:
    seconds = row.get_decoded().get(SEEN)
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
