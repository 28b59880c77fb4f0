"""Entries of the audit as a person may see them: what concerns their things, and what they did themselves.

Superusers see all. For everybody else the two ways in are two index searches that are merged here: one query for
both would read the whole audit of all tenants.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from django.db.models import Q, QuerySet

from scripts_admin import permissions
from scripts_admin.domain import audit as words
from scripts_admin.models import AuditEntry, User

READ_TOGETHER = 500
_Rows = QuerySet[AuditEntry]
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_TOKEN = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")


class Key(NamedTuple):
    at: datetime
    pk: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What the list is narrowed to; empty: not at all. The days are whole ones, in UTC."""

    who: str = ""
    action: str = ""
    kind: str = ""
    subject: str = ""
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One entry. `address` is empty where it is nobody else's business."""

    at: datetime
    name: str
    is_person: bool
    source: str
    address: str
    action: str
    kind: str
    label: str
    key: str
    changes: Sequence[words.Change]
    reason: str


class Page(NamedTuple):
    """Some entries, and the tokens for components/steps.html; empty where there are no more."""

    rows: list[Row]
    before: str
    after: str


def page(person: User, asked: Asked, size: int, *, after: str = "", before: str = "") -> Page:
    """Return the entries after a token, or those before one; without a token, or with a wrong one, the newest."""
    parts = ways(person, asked)
    end, start = _read(before), _read(after)
    if end is not None:
        found = _merged([_newer(way, end)[: size + 1] for way in parts])[::-1]
        shown = found[:size][::-1]
        if len(shown) == size:
            earlier = _token(shown[0]) if len(found) > size else ""
            return Page([_row(each, person) for each in shown], earlier, _token(shown[-1]))
        start = None  # a first page that is not full would move with each new entry
    found = _merged([older(way, start)[: size + 1] for way in parts])
    shown = found[:size]
    return Page(
        [_row(each, person) for each in shown],
        _token(shown[0]) if shown and start is not None else "",
        _token(shown[-1]) if len(found) > size else "",
    )


def everything(person: User, asked: Asked) -> Iterator[Row]:
    """Yield all entries, the newest first, in queries of a limited size; no transaction stays open between them."""
    last: Key | None = None
    parts = ways(person, asked)
    while True:
        found = _merged([older(way, last)[:READ_TOGETHER] for way in parts])[:READ_TOGETHER]
        for each in found:
            yield _row(each, person)
        if len(found) < READ_TOGETHER:
            return
        last = Key(found[-1].at, found[-1].pk)


def older(rows: _Rows, key: Key | None) -> _Rows:
    rows = rows.order_by("-at", "-pk")
    if key is None:
        return rows
    return rows.filter(Q(at__lt=key.at) | Q(at=key.at, pk__lt=key.pk), at__lte=key.at)


def _newer(rows: _Rows, key: Key) -> _Rows:
    rows = rows.order_by("at", "pk")
    return rows.filter(Q(at__gt=key.at) | Q(at=key.at, pk__gt=key.pk), at__gte=key.at)


def ways(person: User, asked: Asked) -> list[_Rows]:
    rows = _narrowed(asked)
    if permissions.sees_everything(person):
        return [rows]
    if not person.is_active:
        return []
    return [rows.filter(owner=person), rows.filter(person=person)]


def _narrowed(asked: Asked) -> _Rows:
    rows = AuditEntry.objects.all()
    said = {
        "name": asked.who,
        "action": asked.action,
        "kind": asked.kind,
        "label": asked.subject,
    }
    rows = rows.filter(**{column: value for column, value in said.items() if value})
    if asked.since:
        rows = rows.filter(at__gte=_midnight(asked.since))
    if asked.until and asked.until < date.max:
        rows = rows.filter(at__lt=_midnight(asked.until + timedelta(days=1)))
    return rows


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _merged(parts: Iterable[Iterable[AuditEntry]]) -> list[AuditEntry]:
    """Return the entries of all parts once, the newest first."""
    found = {each.pk: each for part in parts for each in part}
    return sorted(found.values(), key=lambda each: (each.at, each.pk), reverse=True)


def _token(found: AuditEntry) -> str:
    return f"{(found.at - _EPOCH) // _TICK}-{found.pk}"


def _read(token: str) -> Key | None:
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    try:
        return Key(_EPOCH + int(match[1]) * _TICK, int(match[2]))
    except OverflowError:
        return None


def _row(found: AuditEntry, seen_by: User) -> Row:
    """An address says where somebody works: it is shown to themselves and to superusers."""
    is_own = found.person_id == seen_by.pk
    # The address of a refused login is what its user has to know.
    is_refused = found.action == words.Action.LOGIN_REFUSED
    is_open = is_own or is_refused or permissions.sees_everything(seen_by)
    return Row(
        at=found.at,
        name=found.name,
        is_person=found.person_id is not None,
        source=found.source,
        address=found.address if is_open else "",
        action=found.action,
        kind=found.kind,
        label=found.label,
        key=found.key,
        changes=[words.Change(*change) for change in found.changes],
        reason=found.reason,
    )
