"""The audit: each service that changes something for a person enters it here, in the transaction of the change.

Who does it and from where is known at the edge: a page's middleware and a command say it once, with `coming_from`.
Without an edge it is the server itself. Secrets never get here: see `scripts_admin/domain/audit.py`.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

from n2wbackup.lib import clock, terminal
from scripts_admin.domain import audit
from scripts_admin.domain.audit import Action, Change, Kind, Source
from scripts_admin.models import AuditEntry, User

SERVER = "the server"
NOBODY = "an unknown user"


@dataclass(frozen=True, slots=True)
class Edge:
    """Where a change comes from. `person` is asked when something is entered: a login changes the answer."""

    source: Source
    address: str = ""
    name: str = SERVER
    person: Callable[[], User | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Subject:
    """The thing that is changed, with the user whom it belongs to."""

    kind: Kind
    label: str
    key: str = ""
    owner_id: int | None = None


_edge: ContextVar[Edge | None] = ContextVar("edge", default=None)
_gathered: ContextVar[list[AuditEntry] | None] = ContextVar("gathered", default=None)


def edge() -> Edge:
    """Return where a change that is entered now comes from."""
    return _edge.get() or Edge(Source.SERVER)


@contextmanager
def coming_from(there: Edge) -> Iterator[None]:
    """Let everything that is entered within the block have come from there."""
    token = _edge.set(there)
    try:
        yield
    finally:
        _edge.reset(token)


@contextmanager
def done_by(person: User | None) -> Iterator[None]:
    """Let the person have done what is entered within the block; None leaves it to the edge."""
    found = edge()
    with coming_from(replace(found, person=lambda: person) if person else found):
        yield


@contextmanager
def together() -> Iterator[None]:
    """Enter one thing once, however many services change it within the block; use it inside the transaction.

    The first action stays, and the changes are added up.
    """
    if _gathered.get() is not None:
        yield
        return
    found: list[AuditEntry] = []
    token = _gathered.set(found)
    try:
        yield
    finally:
        _gathered.reset(token)
    AuditEntry.objects.bulk_create(_merged(found))


def record(
    action: Action,
    subject: Subject,
    changes: Iterable[Change] = (),
    *,
    person: User | None = None,
    name: str = "",
    reason: str = "",
    using: str = DEFAULT_DB_ALIAS,
) -> None:
    """Enter what was done, as part of the caller's transaction: the change and its entry stand or fall together.

    `person` and `name` are for who knows better than the edge: an operation with an actor, a login.
    """
    entry = _entry(action, subject, changes, person=person, name=name, reason=reason)
    gathered = _gathered.get()
    if gathered is not None:
        gathered.append(entry)
        return
    entry.save(force_insert=True, using=using)


def subject(kind: Kind, row: Model, label: str, owner_id: int | None = None) -> Subject:
    """Return a row as the subject of an entry; without `owner_id` it is its own column."""
    found = owner_id if owner_id is not None else getattr(row, "owner_id", None)
    return Subject(kind, label, str(row.pk or ""), found)


def of_user(user: User) -> Subject:
    """Return a user as the subject: they see what is done to them."""
    return Subject(Kind.USER, user.username, str(user.pk or ""), user.pk)


def _entry(
    action: Action,
    subject: Subject,
    changes: Iterable[Change],
    *,
    person: User | None,
    name: str,
    reason: str,
) -> AuditEntry:
    at = edge()
    who = person or at.person()
    known = who is not None and who.pk is not None
    said = name or (who.username if who is not None and known else at.name)
    return AuditEntry(
        at=clock.now(),
        person_id=who.pk if who is not None and known else None,
        name=_short(said, 150),
        source=at.source,
        address=_short(at.address, 45),
        action=action,
        kind=subject.kind,
        label=_short(subject.label, 200),
        key=_short(subject.key, 64),
        owner_id=subject.owner_id,
        changes=[
            [_short(part, audit.LONGEST) for part in change] for change in audit.unsecret(changes)
        ],
        reason=_short(reason, audit.LONGEST),
    )


def _short(text: str, most: int) -> str:
    text = terminal.line(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _merged(entries: Iterable[AuditEntry]) -> list[AuditEntry]:
    found: dict[tuple[str, str, str], AuditEntry] = {}
    for entry in entries:
        first = found.setdefault((entry.kind, entry.key, entry.label), entry)
        if first is not entry:
            first.changes = [*first.changes, *entry.changes]
    return list(found.values())
