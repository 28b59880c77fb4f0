"""Pages of a list by key: the rows after the last one seen, found by an index.

A page by number reads all rows before it, and shows a row twice when a new one comes in between. Here each page
costs the same, wherever it is, and rows neither repeat nor go missing.

`order` is as in `order_by`, such as ("-created_at", "-pk"): columns that are never NULL, and together unique.
A token is the key of a row as a page's address has it.

`parts` are conditions that together have all rows: those of an owner, those of a policy. Where rows of several of
these are mixed in one list, no index has them in their order. So the first rows of each part are read, each by its
own index, and put in order here.
"""

import base64
import binascii
import json
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, Generic, NamedTuple, TypeVar

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models

Row = TypeVar("Row", bound=models.Model)
Key = Sequence[Any]


class Page(NamedTuple, Generic[Row]):
    """Some rows, and the tokens of those before and after them; empty where there are none."""

    rows: list[Row]
    before: str
    after: str


def page(
    rows: models.QuerySet[Row],
    order: Sequence[str],
    size: int,
    *,
    after: str = "",
    before: str = "",
    parts: Sequence[models.Q] = (),
) -> Page[Row]:
    """Return the page after a token, or the one before; without a token, or with one that is none, the first."""
    start, end = _key(rows.model, order, after), _key(rows.model, order, before)
    if start is None and end is not None:
        turned = _turned(order)
        found = first(_beyond(rows, turned, end), turned, size + 1, parts)
        shown = found[:size][::-1]
        if (
            len(shown) == size or not shown
        ):  # a first page that is not full would move with each new row
            earlier = token(shown[0], order) if len(found) > size else ""
            return Page(shown, earlier, token(shown[-1], order) if shown else "")
        start = None
    found = first(_beyond(rows, order, start), order, size + 1, parts)
    shown = found[:size]
    return Page(
        shown,
        token(shown[0], order) if shown and start is not None else "",
        token(shown[-1], order) if len(found) > size else "",
    )


def first(
    rows: models.QuerySet[Row], order: Sequence[str], size: int, parts: Sequence[models.Q] = ()
) -> list[Row]:
    """Return the first of the rows, which are in this order."""
    if len(parts) < 2:  # noqa: PLR2004 - nothing has to be put in order
        return _first(rows, order, size)
    found = {row.pk: row for part in parts for row in _first(rows.filter(part), order, size)}
    mixed = list(found.values())
    for place, name in reversed(list(enumerate(order))):
        mixed.sort(key=lambda row: _values(row, order)[place], reverse=name.startswith("-"))
    return mixed[:size]


def _first(rows: models.QuerySet[Row], order: Sequence[str], size: int) -> list[Row]:
    """Return the first rows.

    Where the order is another table's, their keys come first: with all that is read of each row beside it, SQLite
    reads and sorts the whole table.
    """
    if not any("__" in name for name in order):
        return list(rows[:size])
    keys = list(rows.values_list("pk", flat=True)[:size])
    by_key = rows.order_by().filter(pk__in=keys) if keys else ()
    found = {row.pk: row for row in by_key}
    return [found[key] for key in keys if key in found]


def batches(
    rows: models.QuerySet[Row], order: Sequence[str], size: int, parts: Sequence[models.Q] = ()
) -> Iterator[list[Row]]:
    """Yield all rows in lists of this size, each in a query of its own: no transaction stays open between them."""
    last: Key | None = None
    while True:
        found = first(_beyond(rows, order, last), order, size, parts)
        if found:
            yield found
        if len(found) < size:
            return
        last = _values(found[-1], order)


def token(row: models.Model, order: Sequence[str]) -> str:
    """Return the row's key for an address."""
    said = json.dumps([str(_in_words(value)) for value in _values(row, order)])
    return base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")


def _in_words(value: object) -> object:
    return value.isoformat() if isinstance(value, date | datetime) else value


def _values(row: models.Model, order: Sequence[str]) -> list[Any]:
    found = []
    for name in _names(order):
        value: Any = row
        for step in name.split("__"):
            value = getattr(value, step)
        found.append(value)
    return found


def _names(order: Sequence[str]) -> list[str]:
    return [name.removeprefix("-") for name in order]


def _turned(order: Sequence[str]) -> list[str]:
    return [name[1:] if name.startswith("-") else f"-{name}" for name in order]


def _beyond(
    rows: models.QuerySet[Row], order: Sequence[str], key: Key | None
) -> models.QuerySet[Row]:
    """Return the rows in this order that come after the key."""
    rows = rows.order_by(*order)
    if key is None:
        return rows
    first, *_ = order
    way = "lte" if first.startswith("-") else "gte"
    # Said first and by itself: it is what the index is searched by.
    wanted = models.Q(**{f"{_names(order)[0]}__{way}": key[0]})
    further = models.Q()
    for at, name in enumerate(order):
        same = dict(zip(_names(order)[:at], key, strict=False))
        way = "lt" if name.startswith("-") else "gt"
        further |= models.Q(**same, **{f"{name.removeprefix('-')}__{way}": key[at]})
    return rows.filter(wanted & further)


def _key(model: type[models.Model], order: Sequence[str], said: str) -> Key | None:
    """Return the key of a token; None if it is none, as an address may say anything."""
    try:
        words = json.loads(base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)))
        names = _names(order)
        if not isinstance(words, list) or len(words) != len(names):
            return None
        return [_field(model, name).to_python(w) for name, w in zip(names, words, strict=True)]
    except (ValueError, TypeError, binascii.Error, ValidationError):
        return None


def _field(model: type[models.Model], name: str) -> Any:  # noqa: ANN401 - a field of any kind
    *steps, last = name.split("__")
    for step in steps:
        related = model._meta.get_field(step).related_model
        if related is None or isinstance(related, str):
            raise FieldDoesNotExist(name)
        model = related
    return model._meta.pk if last == "pk" else model._meta.get_field(last)
